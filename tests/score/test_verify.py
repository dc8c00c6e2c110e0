"""Every verifier failure has its place: unknown is not wrong, wrong is not unknown, NaN stops."""

import numpy as np
import pytest

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import answer_verifier, from_function, judge, judge_all, source_verifier
from sharpen.tasks.task import Checked, GoldIsHidden, hidden
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import named
from tests.scored import episode, task


def exact(prompt, completion, answer):
    return float(completion.strip() == answer)


def test_a_plain_function_is_a_verifier():
    verifier = from_function(exact)
    assert verifier(task=task(), episode=episode(" 42 ")) == Verdict(1.0, by="exact")
    assert verifier(task=task(), episode=episode("43")) == Verdict(0.0, by="exact")
    assert verifier.spec == from_function(exact).spec
    assert verifier.spec != from_function(lambda completion: 0.0).spec


def test_it_sees_the_prefill():
    verdict = from_function(exact)(task=task(), episode=episode("2", prefill="4"))
    assert verdict.correct


def test_arguments_go_by_name_only():
    seen = {}

    def reward(answer, *, completion, prompt):
        seen.update(answer=answer, completion=completion, prompt=prompt)
        return 1

    assert from_function(reward)(task=task(), episode=episode("x")).score == 1.0
    assert seen == {"answer": "42", "completion": "x", "prompt": "question q\n"}


def test_an_unknown_argument_names_the_nearest():
    def reward(completions):
        return 0.0

    with pytest.raises(SharpenError, match="'completion'"):
        from_function(reward)


def test_optional_arguments_of_its_own_are_left_alone():
    def reward(completion, tolerance=0.1):
        return tolerance

    assert from_function(reward)(task=task(), episode=episode("x")).score == 0.1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_nan_names_verifier_and_task(value):
    def broken(completion):
        return value

    with pytest.raises(NotFinite, match=r"'broken'.*'q7'"):
        from_function(broken)(task=task("q7"), episode=episode("x", of="q7"))


@pytest.mark.parametrize("value", [None, "1", [1.0], 1j])
def test_not_a_number_names_verifier_and_task(value):
    def broken(completion):
        return value

    with pytest.raises(SharpenError, match=r"'broken'.*'q7'"):
        from_function(broken)(task=task("q7"), episode=episode("x", of="q7"))


def test_an_exception_is_a_crash_and_never_a_zero():
    def broken(completion):
        raise ValueError("first line \ud800\nsecond line")

    verdict = from_function(broken)(task=task(), episode=episode("x"))
    assert verdict.status is Status.CRASH
    assert verdict.status.unknown
    assert not verdict.correct
    assert verdict.detail == "ValueError: first line ?"


def test_hidden_gold_stays_hidden():
    [secret] = hidden([task()])
    with pytest.raises(GoldIsHidden):
        from_function(exact)(task=secret, episode=episode("x"))

    def blind(completion):
        return 0.5

    assert from_function(blind)(task=secret, episode=episode("x")).score == 0.5


def test_truncated_without_an_answer():
    def length(completion):
        return 0.25

    cut = episode("I was about to", finish=Finish.LENGTH)
    verdict = from_function(length)(task=task(), episode=cut)
    assert (verdict.status, verdict.score) == (Status.TRUNCATED, 0.25)
    answered = episode("Answer: 1\nand then", finish=Finish.LENGTH)
    assert from_function(length)(task=task(), episode=answered).status is Status.OK
    number = answer_verifier("number")
    assert number(task=task(), episode=cut).status is Status.TRUNCATED
    assert number(task=task(), episode=episode("I was about to")).status is Status.UNPARSABLE
    right = number(task=task(), episode=episode("Answer: 42\nand", finish=Finish.LENGTH))
    assert (right.status, right.score) == (Status.OK, 1.0)


def test_an_episode_that_broke_is_not_judged():
    verdict = judge(from_function(exact), task=task(), episode=episode("42", finish=Finish.ERROR))
    assert verdict.status is Status.ABSTAIN


class Source:
    name = "source"

    @property
    def spec(self):
        return {"source": 1}

    def verify(self, task, completion):
        if completion == "boom":
            raise RuntimeError("boom")
        if "=" not in completion:
            return Checked(False, "unparsable", "no equation")
        return Checked(completion == "x=" + task.answer, detail="seen")


def test_a_source_brings_its_own_checker():
    verifier = source_verifier(Source())
    assert verifier.spec == {"verifier": "source", "source": {"source": 1}}
    right = verifier(task=task(), episode=episode("x=42"))
    assert right == Verdict(1.0, by="source", detail="seen", parts={"correct": 1.0})
    assert verifier(task=task(), episode=episode("hm")).status is Status.UNPARSABLE
    assert verifier(task=task(), episode=episode("hm", finish=Finish.LENGTH)).status is Status.TRUNCATED
    wrong = verifier(task=task(), episode=episode("x=4", finish=Finish.LENGTH))
    assert (wrong.status, wrong.score) == (Status.OK, 0.0)
    with pytest.raises(SharpenError, match="no checker"):
        source_verifier(object())


def test_an_unknown_verifier_names_the_nearest():
    with pytest.raises(SharpenError, match="did you mean 'number'"):
        answer_verifier("numbre")
    # one that exists but compares no final answers is not offered again
    with pytest.raises(SharpenError, match="unknown verifier of final answers 'code'"):
        answer_verifier("code")
    with pytest.raises(SharpenError, match="unknown verifier 'mats': did you mean 'maths'"):
        named(Reward("mats"), Source(), 0)  # type: ignore[arg-type]


class Rogue:
    name = "rogue"
    spec: dict = {}  # noqa: RUF012

    def __call__(self, *, task, episode):
        return {"nan": Verdict(1.0, parts={"style": float("nan")}), "none": None, "ok": Verdict(1.0)}[
            episode.text
        ]


def test_judge_guards_any_verifier():
    with pytest.raises(NotFinite, match="'rogue'"):
        judge(Rogue(), task=task(), episode=episode("nan"))
    with pytest.raises(SharpenError, match="'rogue'"):
        judge(Rogue(), task=task(), episode=episode("none"))
    assert judge(Rogue(), task=task(), episode=episode("ok")).by == "rogue"
    assert judge(Rogue(), task=task(), episode=episode("?")).status is Status.CRASH


def test_judge_all_keeps_order_and_replaces_verdicts():
    held = [Group(task(n), tuple(episode(t, of=n, sample=k) for k, t in enumerate(texts)))
            for n, texts in (("a", ["42", "1"]), ("b", ["2", "42", "boom"]))]  # fmt: skip
    judged = judge_all(from_function(exact), held)
    assert [list(c) for c in judged.correct] == [[True, False], [False, True, False]]
    again = judge_all(source_verifier(Source()), judged)
    assert again[1].verdicts[2].status is Status.CRASH
    assert isinstance(again, Groups)
    assert judged[1].scored[1][1].correct
