"""Numbers behind thinking."""

import pytest

from sharpen.sample.episode import Finish
from sharpen.score.thought import BehindThought, number_after
from sharpen.score.verdict import Status
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import has_answer, named
from tests.scored import episode


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<think>\n1+1=2\n</think>Answer: 2", 1.0),
        ("<think>\n\n</think>\nAnswer: 2.0", 1.0),
        ("<think>Answer: 2</think>Answer: 3", 0.0),
        ("<think>Answer: 2", 0.0),
        ("Answer: 2", 0.0),
        ("</think>", 0.0),
        ("<think>a</think>Answer: 3</think>Answer: 2", 1.0),
    ],
)
def test_only_what_stands_behind_the_thinking_counts(text, right):
    assert number_after("?", text, "2") == right


def test_any_verifier_may_judge_what_stands_behind_the_thinking():
    source = make("chain:level=1")
    chain = source.take("test", 1)[0]
    judge = named(Reward("thought"), source, 0)
    assert isinstance(judge, BehindThought)
    assert judge.spec["of"] == named(Reward(), source, 0).spec
    texts = {
        f"1+1=2\n</think>Answer: {chain.answer}": Status.OK,
        f"</think>\nAnswer: {chain.answer}": Status.OK,
        f"Answer: {chain.answer}</think>": Status.UNPARSABLE,
        f"Answer: {chain.answer}": Status.UNPARSABLE,
    }
    for text, status in texts.items():
        said = judge(task=chain, episode=episode(text, of=chain.id, prefill="<think>\n"))
        assert (said.status, said.correct) == (status, status is Status.OK)
    cut = episode("1+1=2", of=chain.id, finish=Finish.LENGTH, prefill="<think>\n")
    assert judge(task=chain, episode=cut).status is Status.TRUNCATED
    answers = has_answer(Reward("thought:number"), source)
    assert answers("x</think> Answer: 7")
    assert not answers("Answer: 7")
