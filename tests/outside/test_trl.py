"""Reward functions of the real TRL, by name as a run names them. `make test-outside`."""

import importlib.util
import json

import pytest

from sharpen.score.custom import TrlReward, imported
from sharpen.score.group import Group
from sharpen.score.verdict import Status
from sharpen.score.verify import judge
from sharpen.tasks.task import Message, Task
from tests.scored import episode

if importlib.util.find_spec("trl") is None:
    pytest.skip("needs TRL: make test-outside", allow_module_level=True)

TEXTS = (
    "<think>a third</think> so \\boxed{\\frac{1}{3}}",
    "<think>half</think> so \\boxed{\\frac{1}{2}}",
    "\\boxed{2/6}",
    "<think>still thinking",
    "",
)


def chat(solution):
    return Task("t", (Message(role="user", content="One of three?"),), "1/3", {"solution": solution})


def judged(verifier, task):
    group = Group(task, tuple(episode(text, of="t", sample=i) for i, text in enumerate(TEXTS)))
    verifier.prepare([group])
    return [judge(verifier, task=task, episode=e) for e in group.episodes]


@pytest.mark.parametrize("name", ["accuracy_reward", "think_format_reward", "reasoning_accuracy_reward"])
def test_scores_are_those_of_trl_itself(name):
    import trl.rewards

    verifier = imported(f"trl.rewards:{name}")
    assert isinstance(verifier, TrlReward)
    task = chat("$\\frac{1}{3}$")
    own = getattr(trl.rewards, name)(
        completions=[[{"role": "assistant", "content": text}] for text in TEXTS],
        solution=[task.data["solution"]] * len(TEXTS),
    )
    verdicts = judged(verifier, task)
    assert [v.score for v in verdicts] == own
    assert {v.status for v in verdicts} == {Status.OK}
    assert {0.0, 1.0} == set(own)


def test_a_gold_that_trl_cannot_read_is_unknown_and_not_wrong():
    verdicts = judged(imported("trl.rewards:accuracy_reward"), chat("no number here"))
    assert {v.status for v in verdicts} == {Status.ABSTAIN}


def test_a_missing_column_is_a_crash_and_not_wrong():
    verdicts = judged(imported("trl.rewards:accuracy_reward"), Task("t", chat("").prompt, "1/3"))
    assert {v.status for v in verdicts} == {Status.CRASH}
    assert "solution" in verdicts[0].detail


def test_a_run_learns_from_a_reward_of_trl(tmp_path):
    from sharpen.recipes.execute import execute
    from sharpen.runs.store import read_manifest, rollouts
    from tests.tiny import settings

    path = tmp_path / "sums.jsonl"
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}+{i}="}], "answer": str(2 * i), "solution": f"${2 * i}$"}
        for i in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = settings(
        "online_rft", f"tasks=jsonl:{path}:solution=solution", "verifier=trl.rewards:think_format_reward",
        "rounds=1", "pool=8", "queries=8", "samples=2", "held_out=4", "held_out_sampled=2",
        "held_out_samples=2", "max_new_tokens=8", "prefill=<think></think>", pinned=False,
    )  # fmt: skip
    execute("online_rft", config, tmp_path / "run")
    table = rollouts(tmp_path / "run").filter("correct is not null")
    assert table.project('"by"').distinct().fetchall() == [("think_format_reward",)]
    steps = read_manifest(tmp_path / "run").steps
    judges = [s["inputs"]["verifier"] for k, s in steps.items() if "verifier" in s["inputs"]]
    assert {(j["verifier"], j["name"]) for j in judges} == {("trl", "think_format_reward")}
    assert table.project("score").distinct().fetchall() == [(1.0,)]  # every attempt begins as it wants
    [learnt] = [s for k, s in steps.items() if "/learn:" in k]
    assert learnt["result"]["rows"] > 0
