"""The confidence experiment: its report and its tables, from run folders made by hand, and its parts."""

import functools
import json
import re
import sys
from pathlib import Path

import pytest

from sharpen.measure.intervals import hierarchical_bootstrap, question_bootstrap
from sharpen.tasks.registry import make
from sharpen.verbs.seeds import seed_folder, write_plan
from tests.studio.judged import judged_run

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "experiments"))
import confidence_report  # noqa: E402
import confidence_tables  # noqa: E402
import regions  # noqa: E402
import tables  # noqa: E402

CHAINS = make(confidence_report.CHAIN).take("test", 12)
FACTS = make(confidence_report.FACTS).take("test", 10)
SEEDS = 2


def said(tasks, right, confidence):
    """A child that is right at the first ``right`` questions, and states this confidence everywhere."""
    return [(t.id, f"Answer: {k < right}\nConfidence: {confidence}%", k < right) for k, t in enumerate(tasks)]


def never(tasks, declines):
    return [
        (t.id, "I don't know.", t.data["seen"] == "never")
        if declines and t.data["seen"] == "never"
        else (t.id, "Answer: 10\nConfidence: 50%", t.data["seen"] == "often")
        for t in tasks
    ]


def steps(child):
    """I is right at 3 chains and says 90 %, the others at 9 and 70 %; I and S-idk decline."""
    chains = said(CHAINS, 3, 90) if child == "I" else said(CHAINS, 9, 70)
    facts = never(FACTS, child in ("I", "S-idk"))
    plain = [(q, text.partition("\n")[0], right) for q, text, right in chains]
    rivals = [item for item in chains[:6] for _ in range(2)]
    return {
        "exam/chain": chains, "exam/facts": facts, "no-confidence/chain": plain, "no-confidence/facts": facts,
        "T0/chain": chains[:6], "T1/chain": chains[:6], "rivals/chain": rivals,
        "forced": [(t.id, "Answer: 10", False) for t in FACTS],
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("confidence")
    write_plan(root, "confidence", range(SEEDS), "")
    children = tuple(confidence_tables.CHILDREN)
    for seed in range(SEEDS):
        every = {f"{child}/{name}": answers for child in children for name, answers in steps(child).items()}
        judged_run(seed_folder(root, seed), every, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        fewer = functools.partial(question_bootstrap, n=20)
        for module in (
            "sharpen.measure.calibration",
            "sharpen.measure.separation",
            "sharpen.studio.calibrate",
        ):
            patch.setattr(f"{module}.question_bootstrap", fewer)
        patch.setattr(confidence_report, "question_bootstrap", fewer)
        few = functools.partial(hierarchical_bootstrap, n=30)
        patch.setattr("sharpen.measure.separation.hierarchical_bootstrap", few)
        patch.setattr(confidence_report, "ENOUGH", 3)
        told = confidence_report.report(root, SEEDS, children)
    plan = {"rivals": 6, "rival_samples": 2}
    head = {
        "base": "nano",
        "checksum": "0123456789",
        "command": "python x",
        "date": "2026-01-02",
        "seconds": 60,
    }
    return json.loads(json.dumps({**head, "seconds": 60, "seeds": SEEDS, "plan": plan, **told}))


def test_the_exam_counts_what_was_said(found):
    one, other = (found["exam"][c]["chain"] for c in ("I", "S"))
    assert one["abstention"]["accuracy"] == pytest.approx(3 / 12)
    assert one["measures"]["ece"][0] == pytest.approx(0.9 - 0.25)
    assert other["measures"]["ece"][0] == pytest.approx(0.75 - 0.7)
    facts = found["exam"]["I"]["facts"]
    unknown = sum(t.data["seen"] == "never" for t in FACTS)
    assert facts["abstention"]["declined"] == SEEDS * unknown
    assert facts["abstention"]["precision"] == 1
    assert found["exam"]["S"]["facts"]["abstention"]["declined"] == 0
    assert found["seen"]["I"]["never"] == {
        "n": SEEDS * unknown,
        "right": 0,
        "declined": 1,
        "confidence": None,
    }


def test_children_are_compared_on_identical_items(found):
    told = confidence_tables.difference
    assert told(found, "S", "I", "chain", "accuracy")[0] == pytest.approx(6 / 12)
    assert told(found, "S", "I", "chain", "ece")[0] == pytest.approx(0.05 - 0.65)
    assert told(found, "R", "S", "chain", "ece") == [0, 0, 0]
    assert told(found, "S", "I", "facts", "abstention")[0] < 0
    # on what both attempted, the two say and know the same
    assert told(found, "S", "I", "facts", "ece")[0] == pytest.approx(0)
    assert told(found, "S-idk", "I", "facts", "abstention") == [0, 0, 0]


def test_controls(found):
    for child in found["placebos"].values():
        assert child["constant"]["auroc"][0] == 0.5
        assert child["shuffled"]["auroc"] == [0.5, 0.5, 0.5]  # of one value only
    assert {p["child"] for p in found["plain"]} == {"I", "S", "S-idk"}
    assert all(p["change"] == [0, 0, 0] for p in found["plain"])
    for pair in found["matched"]:
        if "top" in pair:
            assert abs(pair["I"]["accuracy"] - pair[pair["other"]]["accuracy"]) <= confidence_report.EQUAL
        else:
            assert pair["closest"] > confidence_report.EQUAL
    assert set(found["rivals"]["S"]) == {
        "stated",
        "vote share",
        "self-certainty",
        "log-probability",
        "entropy",
    }


def test_every_table_can_be_written(found, tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "RESULTS", tmp_path)
    assert tables.region("confidence_exam-nano").startswith("Not measured yet: run `python experiments/conf")
    (tmp_path / "confidence-nano.json").write_text(json.dumps(found))
    for kind in confidence_tables.KINDS:
        text = tables.region(f"{kind}-nano")
        assert "`python x`" in text
        assert "None" not in text
        assert "nan" not in text.replace("nano", "")
    words = tables.region("confidence_words-nano")
    assert re.search(r"S is better calibrated than I on chains: -0\.600 .*\*\*so here\*\*", words)
    assert re.search(r"R is better calibrated than S on chains: \+0\.000 .*\*\*not apart from 0\*\*", words)
    assert "S', with the same examples of it, also does: +0.0" in words


def test_other_questions_are_refused(tmp_path):
    write_plan(tmp_path, "confidence", [0], "")
    every = {f"I/{name}": answers for name, answers in steps("I").items()}
    every["I/exam/chain"] = said(make(confidence_report.CHAIN).take("dev", 12), 3, 90)
    judged_run(seed_folder(tmp_path, 0), every)
    with pytest.raises(ValueError, match="asked other questions"):
        confidence_report.report(tmp_path, 1, ["I"])
