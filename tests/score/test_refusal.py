"""Refusals: the one detector, steps, and verdicts that know them."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.refusal import PHRASES, MayRefuse, Refusals, lines, replies, sentences, unanswered
from sharpen.score.verdict import Status
from sharpen.score.verify import judge_all
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import has_answer, named
from tests.scored import episode, group, table, verdict

KNOWN = Refusals()


@pytest.mark.parametrize(
    "text",
    ["I don't know.", "i DON’T  know", "I am sorry, but", "It is too difficult for me.", "Unfortunately,",
     "1+1=2\n#### No answer", "I am uncertain", "I'm not sure the answer is right", "I am not\ncertain",
     "It is not clear.\nAnswer: 4", "Answer: 2\nSorry"],
)  # fmt: skip
def test_phrases_that_refuse(text):
    assert KNOWN.said(text)


@pytest.mark.parametrize("text", ["", "Answer: 2", "I do know", "surely certain", "no.\nanswer", "unsorry"])
def test_texts_that_do_not(text):
    assert not KNOWN.said(text)


def test_every_phrase_is_found_and_the_list_can_be_another():
    assert all(KNOWN.said(f"well, {p.upper()} ...") for p in PHRASES)
    own = Refusals(("pass",))
    assert own.said("I pass.")
    assert not own.said("I don't know")
    for bad in ((), ("ok", " ")):
        with pytest.raises(SharpenError, match="phrase"):
            Refusals(bad)
    with pytest.raises(SharpenError, match="lines"):
        Refusals(steps="line")


def test_steps_are_the_lines_before_the_refusal_or_the_answer():
    assert KNOWN.before("a\nb\nwell, sorry.\nc") == "a\nb\n"
    assert KNOWN.before("sorry") == ""
    assert KNOWN.before("a\nb") == "a\nb"
    texts = ("a\nb\nSorry.", "a\n\nb\nAnswer: 3", "Sorry.", "", "Answer: 3", "a")
    assert [KNOWN.effort(t) for t in texts] == [2, 2, 1, 1, 1, 1]
    assert unanswered("a\nAnswer: 1\nb\nAnswer: 2") == "a\n"
    assert (lines(""), lines("a\n \nb"), sentences("a.\nb\nc. \nd"), sentences("")) == (1, 2, 3, 1)
    assert Refusals(steps="sentences").effort("a.\nb\nc.\nSorry.") == 2


@pytest.fixture(scope="module")
def chain():
    source = make("chain:level=1")
    return source, source.take("dev", 1)[0]


def test_a_refusal_is_neither_right_nor_unparsable(chain):
    source, task = chain
    judge = named(Reward(refusals=KNOWN), source, 0)
    assert isinstance(judge, MayRefuse)
    assert judge.spec["phrases"] == list(PHRASES)
    assert judge.spec["of"] == named(Reward(), source, 0).spec
    texts = {
        "1+1=2\nSorry, I don't know.": Status.REFUSED,
        f"{task.solution}\nSorry, I don't know.": Status.REFUSED,  # whatever answer stands beside
        task.solution: Status.OK,
        "1+1=2": Status.UNPARSABLE,
        "": Status.UNPARSABLE,
    }
    for text, status in texts.items():
        said = judge(task=task, episode=episode(text, of=task.id))
        assert (said.status, said.correct) == (status, text == task.solution)
    cut = episode("Sorry, 1+1", of=task.id, finish=Finish.LENGTH)
    assert judge(task=task, episode=cut).status is Status.REFUSED


def test_only_the_response_is_read(chain):
    source, task = chain
    judge = named(Reward(refusals=KNOWN), source, 0)
    asked = type(task)(task.id, "Sorry, I am not sure: 1+1?", task.answer, task.data)
    assert judge(task=asked, episode=episode(task.solution, of=task.id)).correct
    given = episode(task.solution.partition("\n")[2], of=task.id, prefill="Sorry:\n")
    assert judge(task=task, episode=given).status is not Status.REFUSED


def test_whether_there_is_an_answer(chain):
    answers = has_answer(Reward(refusals=KNOWN), chain[0])
    assert answers("Answer: 2")
    assert not answers("sorry\nAnswer: 2")


def test_columns_of_judged_responses():
    no = verdict(0.0, False, Status.REFUSED)
    held = group("q", [("a\nb\nsorry", no), ("a\nAnswer: 1", verdict(1.0, True)),
                       ("x", verdict(0.0, status=Status.TIMEOUT))])  # fmt: skip
    found = replies(table(held), KNOWN)
    assert found.steps.tolist() == [2, 1, 1]
    assert found.refused.tolist() == [True, False, False]
    assert found.correct.tolist() == [False, True, False]
    assert found.known.tolist() == [True, True, False]
    assert [c.dtype for c in replies(table(), KNOWN)] == [c.dtype for c in found]
    assert np.isfinite(found.certainty).all()


def test_a_verifier_that_prepares_sees_all_of_it(chain):
    source, task = chain
    held = group(task.id, [(task.solution, verdict(0.0))])
    judge = MayRefuse(named(Reward("maths"), source, 0))
    judge.prepare([type(held)(task, held.episodes)])
    assert judge_all(judge, [type(held)(task, held.episodes)]).correct[0].tolist() == [True]
    judge.close()
