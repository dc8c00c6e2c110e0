"""Drawn numbers say what they are said to say, and the experiment on them counts what it saw."""

import json
import re
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import numerals
import pool
import verifying


def test_cases_are_pure_even_and_half_right():
    drawn = numerals.cases(260)
    assert drawn == numerals.cases(260)
    assert drawn[:100] == numerals.cases(100)
    assert drawn[0] != numerals.case("integer", 0, seed=1)
    assert set(Counter(c.category for c in drawn).values()) == {10}
    for name in numerals.CATEGORIES:
        assert sum(c.equal for c in drawn if c.category == name) == 5


def value(text: str) -> Fraction:
    """Plain decimals and fractions, read by another way than they were written."""
    text = re.sub(r"^(-?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", text.strip().replace(",", ""))
    scale = 100 if text.endswith("%") else 1
    return Fraction(text.removesuffix("%").removesuffix("\\").removesuffix(".")) / scale


PLAIN = (
    "integer", "long integer", "zero with a sign", "zeros around", "decimal", "decimal for a fraction",
    "rounded decimal", "fraction", "percentage", "percentage as the gold", "percentage without its sign",
    "thousands, by commas", "scientific, e",
)  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_the_truth_is_true(name):
    for i in range(60):
        case = numerals.case(name, i)
        assert (value(case.gold) == value(case.answer)) == case.equal, case


def test_the_experiment_counts_errors_and_lists_disagreements(tmp_path, capsys):
    pytest.importorskip("math_verify")
    out = tmp_path / "pool.json"
    pool.main(["--answers", "52", "--block", "26", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["command"] == "python experiments/pool.py --answers 52 --block 26"
    assert {name: len(blocks) for name, blocks in found["seconds"].items()} == dict.fromkeys(pool.JUDGES, 2)
    assert sum(row["answers"] for row in found["categories"].values()) == 52
    assert sum(row["right"] for row in found["categories"].values()) == 26
    # a percentage without its sign is one of the disagreements, and ours is the true verdict
    [[gold, answer, here, there, truth]] = found["disagreements"]["percentage without its sign"]
    assert (gold, here, there, truth) == (f"{answer}\\%", 0, 1, 0)
    text = verifying.numbers_of(found)
    assert "52 answers, 26 of them right" in text
    assert f"`{answer}` for `{gold}` is wrong; here wrong, Math-Verify right" in text


def test_errors_are_counted_by_kind():
    drawn = [numerals.Case("a", "1", "1", True), numerals.Case("a", "1", "2", False)] * 2
    says = {"two": [True, False, None, True], "theirs": [False, True, True, False]}
    measured = {"verdicts": {**says, "one": says["two"]}, "seconds": {}, "peak_mib": {}}
    found = pool.result(drawn, measured)
    assert found["categories"]["a"] == {
        "answers": 4,
        "right": 2,
        "ours": {"accepted": 1, "refused": 0, "unknown": 1},
        "theirs": {"accepted": 1, "refused": 1, "unknown": 0},
    }
    assert found["disagreements"]["a"] == [
        ["1", "1", 1, 0, 1], ["1", "2", 0, 1, 0], ["1", "1", None, 1, 1], ["1", "2", 1, 0, 0],
    ]  # fmt: skip
    measured["verdicts"]["one"] = [True] * 4
    with pytest.raises(SystemExit, match="do not agree"):
        pool.result(drawn, measured)
