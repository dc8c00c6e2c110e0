"""What experiments/overthinking.py computes: attempts read back as they were, the specification's numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sharpen.runs.streams import stream
from sharpen.strategies.words import MACHINES
from sharpen.tasks.machine import Machine
from tests.strategies.scripted import asked, policy
from tests.strategies.scripted import play as scripted

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import overthinking_tables as tables
from attempts import Stored, Try, tries
from overthinking import SELECTORS, any_of, bands, chosen_at, command

from sharpen.cli import main


def table(score, right):
    """One question; its other columns follow the score."""
    row = {"score": score, "right": right, "disengaged": [int(s >= 8) for s in score], "turns": score}
    row |= {"reasoning": score, "ratio": score, "logprob": [-float(s) for s in score]}
    return {name: [values] for name, values in row.items()}


def test_numbers_of_the_specification():
    one = table([1, 4, 7], [1, 0, 1])
    assert [chosen_at(one, k, "overthinking")[0] for k in (1, 2, 3)] == pytest.approx([2 / 3, 2 / 3, 1])
    assert any_of(one, 2)[0] == 1
    assert chosen_at(table([3, 3, 9], [1, 0, 1]), 2, "overthinking")[0] == 0.5


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_random_choice_is_one_attempt_and_none_beats_the_ceiling(k):
    tried = table([0, 9, 4, 4], [1, 0, 0, 1])
    assert chosen_at(tried, k, "random")[0] == pytest.approx(any_of(tried, 1)[0])
    for name in SELECTORS:
        assert chosen_at(tried, k, name)[0] <= any_of(tried, k)[0]
        assert chosen_at(tried, 1, name)[0] == pytest.approx(0.5)


def test_shuffled_scores_choose_like_chance():
    many = {name: values * 3000 for name, values in table([0, 9, 9, 9], [1, 0, 0, 0]).items()}
    assert chosen_at(many, 2, "overthinking").mean() == 0.5
    assert chosen_at(many, 2, "overthinking", stream("s")).mean() == pytest.approx(0.25, abs=0.02)


def test_bands_hold_every_attempt_once():
    assert bands([table([0, 3, 4, 7, 8, 10], [1, 1, 1, 0, 0, 0])]) == [
        ("0 to 3", 0, 2, 2), ("4 to 7", 4, 2, 1), ("8 to 10", 8, 2, 0),
    ]  # fmt: skip


def test_attempts_come_back_from_their_calls():
    source = Machine(level=1)
    task = source.take("train", 1)[0]
    right = str(task.answer).removesuffix("; finish")
    calls = {  # replies by how much was said before: one attempt checks, the other does not
        "first": iter(["<tool>run 1</tool>", f"so <tool>{right}</tool><tool>finish</tool>"]),
        "then": iter([f"<tool>{right}</tool>", "<tool>run 2</tool>", "<tool>finish</tool>"]),
    }
    question = asked(str(task.prompt), environment=lambda: source.environment(task))
    did = scripted(
        "least_overthinking:attempts=2",
        lambda prompt: next(calls["first" if prompt.count("\n") == 2 else "then"]),
        question=question,
        words=MACHINES,
    )
    assert did.session.spent.calls == 5
    found = tries(task, source, Stored(policy(), did.session.calls, "", ()), MACHINES, steps=12, n=2)
    careful, rash = sorted(found, key=lambda t: t.score)
    assert (careful.right, careful.score, careful.disengaged, careful.turns) == (1, 0, 0, 4)
    assert (rash.right, rash.disengaged, rash.turns) == (1, 1, 1)
    assert rash.score == 10  # unchecked, and its one turn has two calls
    assert careful.tokens + rash.tokens == did.session.spent.tokens
    assert rash.ratio > careful.ratio  # 8 tokens beside 2 calls; 12, tags and ends of turns, beside 4
    assert careful.logprob == pytest.approx(-np.log(len(policy().tokenizer)), abs=1e-3)
    with pytest.raises(ValueError, match="in no attempt"):
        tries(task, source, Stored(policy(), did.session.calls, "", ()), MACHINES, steps=12, n=1)


def test_the_command_is_one_that_can_be_typed(tmp_path, capsys):
    words = command("nano", 5, 0, tmp_path / "run")
    assert main([*words[1:], "--dry-run"]) == 0, capsys.readouterr().err


def test_regions_can_be_written_from_any_result():
    tried = {name: values * 6 for name, values in table([0, 9, 4, 10], [1, 0, 1, 0]).items()}
    tried["tokens"] = [[60, 30, 50, 20]] * 6
    assert set(tried) == set(Try._fields)
    once = {name: [row[i % 4 : i % 4 + 1] for i, row in enumerate(rows)] for name, rows in tried.items()}
    less = {name: [row[1:2] for row in rows] for name, rows in tried.items()}
    runs = [
        {
            "knob": knob,
            "seed": seed,
            "base": "0" * 12,
            "attempts": tried if knob == 5 else once if knob > 1 else less,
        }
        for seed in range(2)
        for knob in (5, 1, 3, 7, 9)
    ]
    found = {"command": "c", "date": "2026-01-02", "runs": runs}
    told = [
        write(found) for write in (tables.between, tables.scale, tables.lowest, tables.controls, tables.cost)
    ]
    assert all("c`, 2 seeds, 6 test machines" in text for text in told)
    assert "| 2 | 83.3 | +33.3 (+33.3 to +33.3) | 83.3 | 100 |" in told[2]
    assert "| random | 50.0 | +0.0 (+0.0 to +0.0) | 0 |" in told[3]
    assert "Random choice of two is pass@1 exactly (largest difference 0): **met**" in tables.verdict(found)
