"""When a policy thinks, and what it gains: counts by hand, and AutoThink's numeric oracle of E-F1."""

import pytest

from sharpen.measure.modes import (
    Tally,
    awareness,
    by_level,
    e_f1,
    levels_by_accuracy,
    merged,
    mixed,
    mode_row,
    one_sided,
    tallies,
)
from sharpen.sample.episode import Finish
from sharpen.score.group import Group
from sharpen.score.modes import Device
from sharpen.score.verdict import Status
from tests.scored import episode, task, verdict

THOUGHT, DIRECT = "<think>\n1+1=2\n</think>Answer: ", "<think>\n\n</think>Answer: "


def counted(name, samples=4, right=2, tokens=40, thinking=2, right_thinking=2, tokens_thinking=30):
    return Tally(name, samples, right, tokens, thinking, right_thinking, tokens_thinking, 0)


def test_tallies_count_by_mode_and_leave_the_unknown_out():
    said = [
        (THOUGHT + "2", 1.0, 9, Finish.EOS, Status.OK),
        (THOUGHT + "2", 1.0, 20, Finish.LENGTH, Status.OK),  # cut: wrong
        (DIRECT + "2", 1.0, 4, Finish.EOS, Status.OK),
        ("<think>\n\n</think>2", 0.0, 3, Finish.EOS, Status.UNPARSABLE),
        (DIRECT + "2", 0.0, 5, Finish.EOS, Status.BAD_GOLD),
    ]
    episodes = tuple(
        episode(text, sample=k, length=n, finish=finish) for k, (text, _, n, finish, _) in enumerate(said)
    )
    group = Group(task(answer="2"), episodes, tuple(verdict(s, status=st) for _, s, _, _, st in said))
    (found,) = tallies([group.columns()], Device())
    assert found == Tally("q", 4, 2, 36, 2, 1, 29, 1, 1)
    (longer,) = tallies([group.columns()], Device(), extra=2)
    assert (longer.tokens, longer.tokens_thinking) == (36 + 8, 29 + 4)
    row = mode_row([found])
    assert row == {
        "samples": 4, "think_rate": 0.5, "accuracy": 0.5, "length": 9, "accuracy_thinking": 0.5,
        "length_thinking": 14.5, "accuracy_direct": 0.5, "length_direct": 3.5, "unclosed": 0.25,
        "unknown_share": 0.2,
    }  # fmt: skip


def test_nothing_counted_is_no_number():
    row = mode_row([])
    assert row["samples"] == 0
    assert {v for k, v in row.items() if k != "samples"} == {None}
    always = mode_row([counted("a", thinking=4, right_thinking=2, tokens_thinking=40)])
    assert (always["accuracy_direct"], always["length_direct"]) == (None, None)


def test_rows_by_level_and_the_rank_correlation_with_difficulty():
    held = [counted(name, thinking=n) for name, n in {"a": 0, "b": 1, "c": 4, "d": 4}.items()]
    levels = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 3.0}
    assert [(r["level"], r["questions"], r["think_rate"]) for r in by_level(held, levels)] == [
        (1, 1, 0), (2, 1, 0.25), (3, 2, 1),
    ]  # fmt: skip
    assert awareness(held, levels) == pytest.approx(1)
    assert awareness(held, {k: -v for k, v in levels.items()}) == pytest.approx(-1)
    assert awareness(held, dict.fromkeys(levels, 1.0)) is None


def test_tables_of_the_same_questions_are_added():
    one, two = counted("a"), counted("b", right=0)
    assert merged([[one, two], [one, two]]) == [
        Tally("a", 8, 4, 80, 4, 4, 60, 0), Tally("b", 8, 0, 80, 4, 4, 60, 0),
    ]  # fmt: skip


def test_levels_are_eighths_of_wrong_answers():
    shares = {"a": 16, "b": 15, "c": 14, "d": 8, "e": 0}
    found = levels_by_accuracy(counted(name, samples=16, right=n) for name, n in shares.items())
    assert found == {"a": 0, "b": 0, "c": 1, "d": 4, "e": 7}


def test_a_coin_mixes_the_forced_modes():
    thinking = [counted("a", right=4, tokens=80)]
    direct = [counted("a", right=1, tokens=20)]
    assert mixed(thinking, direct, 0.25) == pytest.approx((0.25 + 0.75 * 0.25, 0.25 * 20 + 0.75 * 5))
    assert mixed([], direct, 0.25) is None


def test_e_f1_oracles():
    ends = {"thinking": (48.6, 10633), "direct": (37.5, 2528)}
    found = e_f1(51.7, 5108, **ends)
    assert found == pytest.approx((0.27928, 0.68168, 39.62), abs=5e-3)
    assert found[:2] == pytest.approx((0.27928, 0.68168), abs=5e-6)
    assert e_f1(45.6, 5108, **ends).f1 == 0
    assert e_f1(51.7, 11000, **ends).f1 == 0
    assert e_f1(51.7, 5108, thinking=(40, 10), direct=(40, 5)) is None


def test_a_mode_has_died_out_after_fifty_rounds_at_an_end():
    assert not one_sided([0.0] * 49)
    assert one_sided([0.0] * 50)
    assert one_sided([0.5] + [0.99] * 50)
    assert one_sided([0.0, 1.0] * 25)  # a batch that swings is at an end as well
    assert not one_sided([0.0] * 25 + [0.02] + [0.0] * 24)
    assert not one_sided([0.98] * 50)
