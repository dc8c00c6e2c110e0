"""The check of another library's source in the pool: scores and parts as given, every ending in its place."""

from pathlib import Path

import pytest

from sharpen.errors import NotFinite
from sharpen.recipes.execute import execute
from sharpen.runs.store import rollouts
from sharpen.sample.episode import Finish
from sharpen.score.group import Group
from sharpen.score.outside import OutsideVerifier
from sharpen.score.verdict import Status
from sharpen.score.verify import judge
from sharpen.tasks.outside import Outside
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import named
from tests.scored import episode
from tests.tiny import settings

HERE = str(Path(__file__).parent)


class Source(Outside):
    def __init__(self):
        rows = [("", Task(f"t{i}", f"Order {i}<{i + 1}\n", "12")) for i in range(120)]
        super().__init__(
            "test:planted", rows, judge="planted_setup:checker", setup={"bonus": 0.25}, identity={}
        )

    def job(self, task, completion):
        return {"gold": task.answer, "completion": completion}


@pytest.fixture
def verifier(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    made = OutsideVerifier(Source(), cpu_seconds=0.2, workers=1)
    yield made
    made.close()


def judged(verifier, text, **changed):
    return judge(verifier, task=Task("t", "q", "12"), episode=episode(text, of="t", **changed))


@pytest.mark.parametrize(
    ("text", "score", "status", "correct"),
    [
        ("12", 1.25, Status.OK, True),
        ("13", 0.25, Status.OK, False),
        ("unread", 0.0, Status.UNPARSABLE, False),
        ("unsure", 0.0, Status.ABSTAIN, False),
        ("raise", 0.0, Status.CRASH, False),
        ("hang", 0.0, Status.TIMEOUT, False),
    ],
)
def test_each_ending_has_its_status(verifier, text, score, status, correct):
    verdict = judged(verifier, text)
    assert (verdict.score, verdict.status, verdict.correct, verdict.by) == (
        score, status, correct, "test:planted",
    )  # fmt: skip


def test_parts_and_details_are_kept_and_equal_answers_judged_once(verifier):
    task = Task("t", "q", "12")
    group = Group(task, tuple(episode(t, of="t", sample=i) for i, t in enumerate(("12", "13", "12"))))
    verifier.prepare([group])
    verifier.close()
    assert len(verifier._known) == 2
    first = verifier(task=task, episode=group.episodes[0])
    assert first.parts == {"right": 1.0, "bonus": 0.25, "correct": 1.0}
    assert first.detail == "12 is 12"
    assert verifier._pool is None  # nothing was judged again


def test_an_answer_cut_short_is_truncated(verifier):
    assert judged(verifier, "unread", finish=Finish.LENGTH).status is Status.TRUNCATED
    assert judged(verifier, "12", finish=Finish.LENGTH).status is Status.OK


def test_a_reward_that_is_no_number_stops_the_run(verifier):
    with pytest.raises(NotFinite, match="test:planted"):
        judged(verifier, "nan")


def test_the_sources_check_is_chosen_and_others_may_judge_it_as_well():
    source = Source()
    own = named(Reward("source"), source, 0)
    assert isinstance(own, OutsideVerifier)
    assert own.spec["source"] == source.spec
    assert named(Reward("exact"), source, 0).name == "exact"


def test_a_run_is_judged_apart(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setattr("sharpen.verbs.run.make", lambda _: Source())
    monkeypatch.setattr("sharpen.tasks.registry.make", lambda _: Source())
    config = settings(
        "online_rft", "rounds=1", "pool=4", "queries=4", "samples=2", "held_out=2", "held_out_sampled=1",
        "held_out_samples=2", pinned=False,
    )  # fmt: skip
    execute("online_rft", config, tmp_path / "run")
    table = rollouts(tmp_path / "run").filter("correct is not null")
    assert table.project('"by"').distinct().fetchall() == [("test:planted",)]
    assert table.project("score").distinct().fetchall() == [(0.25,)]
