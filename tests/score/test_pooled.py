"""Verifiers in the pool: each distinct answer once, every ending in its place, in a run like any other."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.store import rollouts
from sharpen.sample.episode import Finish
from sharpen.score.group import Group
from sharpen.score.pooled import PooledVerifier, maths_verifier
from sharpen.score.process import WithProcess
from sharpen.score.verdict import Status
from sharpen.score.verify import Closes, Prepares
from sharpen.tasks.task import Task
from tests.scored import episode
from tests.tiny import settings

HERE = str(Path(__file__).parent)


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    verifier = PooledVerifier("maths", "planted:judge", "math-verify", cpu_seconds=0.2, workers=1)
    yield verifier
    verifier.close()


def judged(verifier, text: str, gold: str = "12", **changed):
    return verifier(task=Task("t", "q", gold), episode=episode(text, of="t", **changed))


@pytest.mark.parametrize(
    ("text", "score", "status"),
    [
        ("right", 1.0, Status.OK),
        ("wrong", 0.0, Status.OK),
        ("unread", 0.0, Status.UNPARSABLE),
        ("raise", 0.0, Status.CRASH),
        ("exit now", 0.0, Status.CRASH),
        ("hang", 0.0, Status.TIMEOUT),
    ],
)
def test_each_ending_has_its_status(planted, text, score, status):
    verdict = judged(planted, text)
    assert (verdict.score, verdict.status, verdict.by) == (score, status, "maths")
    assert verdict.correct == (score == 1.0)


def test_an_answer_cut_short_is_truncated(planted):
    assert judged(planted, "unread", finish=Finish.LENGTH).status is Status.TRUNCATED
    assert judged(planted, "right", finish=Finish.LENGTH).status is Status.OK


def test_many_are_judged_at_once_and_equal_ones_once(planted):
    task = Task("t", "q", "12")
    texts = ["right", "wrong", "right", "right"]
    group = Group(task, tuple(episode(t, of="t", sample=i) for i, t in enumerate(texts)))
    planted.prepare([group, group])
    planted.close()
    known = dict(planted._known)
    assert len(known) == 2
    assert [planted(task=task, episode=e).score for e in group.episodes] == [1, 0, 1, 1]
    assert planted._known == known
    assert planted._pool is None  # nothing was judged again


def test_a_composed_verifier_passes_the_hooks_on(planted):
    class Nothing:
        name = "nothing"

        @property
        def spec(self):
            return {"process": "nothing"}

        def __call__(self, *, task, episode):
            return 0.5

    both = WithProcess(planted, Nothing())
    assert isinstance(both, Prepares)
    assert isinstance(both, Closes)
    both.prepare([Group(Task("t", "q", "12"), (episode("right", of="t"),))])
    assert len(planted._known) == 1
    assert both(task=Task("t", "q", "12"), episode=episode("right", of="t")).score == 1.5
    both.close()
    assert planted._pool is None


def test_a_missing_library_is_said_before_anything_is_written(monkeypatch, tmp_path):
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(SharpenError, match=r"needs math-verify: pip install 'sharpen\[maths\]'"):
        maths_verifier()


def test_a_run_on_a_file_is_judged_by_maths(tmp_path):
    pytest.importorskip("math_verify")
    rows = [
        {"prompt": f"Order {c}<z\n", "answer": f"\\frac{{{i}}}{{7}}"}
        for i, c in enumerate("abcdefghijklmnopqrstuvwxy")
    ]
    rows += [
        {"prompt": f"Order {c}<y\n", "answer": f"{i}\\pi"} for i, c in enumerate("abcdefghijklmnopqrstuvwx")
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    config = settings(
        "online_rft", f"tasks=jsonl:{path}", "verifier=maths", "rounds=1", "pool=4", "queries=4", "samples=2",
        "held_out=2", "held_out_sampled=1", "held_out_samples=2", pinned=False,
    )  # fmt: skip
    execute("online_rft", config, tmp_path / "run")
    by = rollouts(tmp_path / "run").filter("correct is not null").project('"by"').distinct().fetchall()
    assert by == [("maths",)]
