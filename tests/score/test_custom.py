"""Reward functions of the user's own: TRL's form, plain form, and what they may get wrong."""

import math

import pytest

from sharpen.errors import NotFinite, SharpenError
from sharpen.score.custom import from_trl, imported
from sharpen.score.group import Group
from sharpen.score.verdict import Status
from sharpen.score.verify import FunctionVerifier, judge
from sharpen.tasks.task import Message, Task
from tests.scored import episode

TASK = Task("t", "What?", "12", {"level": 3})


def judged(function, *texts: str, task: Task = TASK):
    verifier = from_trl(function)
    group = Group(task, tuple(episode(x, of=task.id, sample=i) for i, x in enumerate(texts)))
    verifier.prepare([group])
    return [judge(verifier, task=task, episode=e) for e in group.episodes]


def test_columns_are_lists_and_a_group_comes_whole():
    calls = []

    def reward(prompts, completions, answer, level, **columns):
        calls.append((prompts, completions, answer, level, sorted(columns)))
        return [float(c == a) for c, a in zip(completions, answer, strict=True)]

    verdicts = judged(reward, "12", "13")
    assert [(v.score, v.correct, v.status, v.by) for v in verdicts] == [
        (1.0, True, Status.OK, "reward"),
        (0.0, False, Status.OK, "reward"),
    ]
    assert calls == [(["What?"] * 2, ["12", "13"], ["12"] * 2, [3, 3], ["completion_ids"])]


def test_chat_prompts_come_with_chat_completions():
    def reward(completions, prompts, **columns):
        assert prompts[0] == [{"role": "user", "content": "Hi"}]
        return [float(len(c[0]["content"])) for c in completions]

    chat = Task("t", (Message(role="user", content="Hi"),), "x")
    assert [v.score for v in judged(reward, "abc", "", task=chat)] == [3.0, 0.0]


def test_none_is_unknown_an_exception_a_crash_and_neither_is_a_zero():
    def reward(completions, **columns):
        if "bad" in completions:
            raise ValueError("no")
        return [None if c == "skip" else 0.5 for c in completions]

    one, two = judged(reward, "skip", "x")
    assert (one.status, two.score, two.correct) == (Status.ABSTAIN, 0.5, False)
    assert {v.status for v in judged(reward, "bad", "x")} == {Status.CRASH}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [([1.0], "no list of 2 scores"), (None, "no list of 2"), (["1", 2], "gave '1' on task 't'")],
)
def test_wrong_returns_name_the_reward_and_the_task(answer, problem):
    def reward(completions, **columns):
        return answer

    with pytest.raises(SharpenError, match=f"reward 'reward'.*{problem}"):
        judged(reward, "a", "b")


def test_a_nan_stops_the_run():
    def reward(completions, **columns):
        return [math.nan for _ in completions]

    with pytest.raises(NotFinite, match="reward"):
        judged(reward, "a")


def test_a_function_that_takes_no_columns_is_refused():
    with pytest.raises(SharpenError, match=r"TRL's form is f\(completions, \*\*columns\)"):
        from_trl(lambda completions: [0.0])


def test_functions_are_named_by_module(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(
        "def plain(completion, answer):\n    return float(completion == answer)\n"
        "def trl(completions, **columns):\n    return [1.0 for _ in completions]\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    plain = imported("my_rewards:plain")
    assert isinstance(plain, FunctionVerifier)
    assert plain(task=TASK, episode=episode("12", of="t")).score == 1.0
    assert imported("my_rewards:trl").spec["verifier"] == "trl"
    for target, why in [
        ("my_rewards:absent", "no attribute 'absent'"),
        ("no_such_module:f", "No module named"),
        (":f", "cannot be imported"),
        ("my_rewards:number", "is no function"),
    ]:
        with pytest.raises(SharpenError, match=why):
            imported(target)
