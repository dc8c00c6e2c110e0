"""DPO, IPO and KTO on one's own attempts."""

import math
from collections import Counter

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Asking, Reward
from sharpen.verbs.learning import answer_rows
from sharpen.verbs.run import Run
from tests import tiny
from tests.tiny import Told, cut_before, rounds, steps

SMALL = ("tasks=chain:level=1", "held_out=2", "held_out_sampled=1", "steps=2", "queries=6")


@pytest.fixture
def attempted(tmp_path):
    """Three questions with four attempts each: half right, all right, all wrong, one of them twice."""
    source = make("chain:level=1")
    tasks = source.take("train", 3)
    journal = Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0)
    policy = run.policy("nano")
    count = Counter()

    def reply(request):
        prompt = policy.tokenizer.decode(request.tokens.tolist())
        i = next(i for i, t in enumerate(tasks) if prompt.startswith(str(t.prompt).strip()))
        count[i] += 1
        right = (count[i] % 2 == 0, True, False)[i]
        return f"{tasks[i].solution}" if right else f"{count[i] // 2}\nAnswer: x"

    run.engine = FakeEngine(reply)
    groups = run.sample(policy, tasks, n=4, law=SamplingLaw(), asking=Asking(60))
    groups = run.score(groups, Reward(), tasks="chain:level=1")
    journal.close()
    return groups


def test_answers_stand_alone_and_beside_each_under_another_question(attempted):
    rows = answer_rows(attempted)
    texts = [set(c.texts) for c in attempted.columns]
    assert len(rows) == 2 * sum(map(len, texts))  # of equal texts the first
    assert Counter(row.scalars.get("desirable") for row in rows[::2])[1.0] == 2
    prompts = [group.episodes[0].spans[0].tokens for group in attempted]
    for own, odd in zip(rows[::2], rows[1::2], strict=True):
        assert own.unit == odd.unit
        assert odd.scalars == {"mismatched": 1.0}
        said = [row.tokens[row.arrays["weight"] > 0] for row in (own, odd)]
        assert np.array_equal(*said)
        asked = [row.tokens[: int(np.flatnonzero(row.arrays["weight"])[0])] for row in (own, odd)]
        assert not np.array_equal(*asked)
        assert any(np.array_equal(asked[1], p) for p in prompts)


def test_nothing_is_told_apart_where_all_are_alike(attempted):
    wrong = attempted.with_verdicts([[c.judged[0]] * len(c) for c in attempted.columns[2:] * 3])
    assert answer_rows(wrong) == []


@pytest.mark.parametrize(
    ("changes", "name", "first"),
    [
        ((), "preference", math.log(2)),
        (("preference.kind=ipo",), "preference", 25.0),  # (1 / (2 beta))^2
        (("learns=answers",), "kto", 0.5),
    ],
)
def test_each_round_refers_to_the_policy_that_it_starts_from(changes, name, first, tmp_path):
    execute("dpo", tiny.settings("dpo", *SMALL, *changes, pinned=False), tmp_path / "run")
    learnt = steps(tmp_path / "run", "learn")
    assert len(learnt) == 2
    for key, line in learnt.items():
        scope = key.partition("/")[0]
        start = line["inputs"]["policy"]
        assert {x["inputs"]["policy"] for x in steps(tmp_path / "run", "annotate", scope).values()} == {start}
        assert line["metrics"][0]["losses"][0] == pytest.approx(first, rel=1e-3)
        assert any(f"loss/{name}" in row for row in line["metrics"])


def test_without_anything_to_tell_apart_the_policy_stays(tmp_path):
    told = Told()
    config = tiny.settings("dpo", *SMALL[1:], "tasks=countdown:level=3", "max_new_tokens=2", pinned=False)
    execute("dpo", config, tmp_path / "run", progress=told)
    assert [w for w in told.warnings if "nothing is learnt" in w]
    assert steps(tmp_path / "run", "learn") == {}
    assert [row["round"] for row in rounds(tmp_path / "run", "held_out")] == [0, 1, 2]


def test_shuffled_rewards_make_other_pairs_and_random_is_refused(tmp_path):
    with pytest.raises(SharpenError, match="control=random is for selections"):
        tiny.settings("dpo", "control=random")
    execute(
        "dpo", tiny.settings("dpo", *SMALL, "control=shuffled", "rounds=1", pinned=False), tmp_path / "run"
    )
    (line,) = steps(tmp_path / "run", "learn").values()
    plain = steps(tiny.finished("dpo", *SMALL, pinned=False), "learn")
    assert line["inputs"]["rows"] != next(iter(plain.values()))["inputs"]["rows"]


def test_it_resumes_to_the_same_bytes(tmp_path):
    folder = tiny.finished("dpo", *SMALL, pinned=False)
    cut_before(folder, tmp_path / "cut", "round-0002/")
    execute("dpo", tiny.settings("dpo", *SMALL, pinned=False), tmp_path / "cut", resume=True)
    assert compare_exact(folder, tmp_path / "cut") == []
