"""Controls keep what they promise to keep and forget the rest."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.verdict import Status
from sharpen.select.above import above
from sharpen.select.controls import controlled, gold_only, random_of_n, shuffle_rewards, trimmed
from tests.scored import group, scored, table, task, verdict


def mixed(n=6, k=8):
    """Every second sample right, at every length 1..k."""
    return table(
        *(
            group(f"q{i}", [(f"t{s}", verdict(float((i + s) % 2 == 0)), 1 + s) for s in range(k)])
            for i in range(n)
        )
    )


def test_shuffling_permutes_verdicts_and_nothing_else():
    groups = mixed()
    moved = shuffle_rewards(groups, stream("s"))
    flat = Counter(str(v) for row in groups.columns for v in row.judged)
    assert Counter(str(v) for row in moved.columns for v in row.judged) == flat
    assert moved.texts == groups.texts
    assert [list(c) for c in moved.correct] != [list(c) for c in groups.correct]
    assert len(above(moved, 0.0)) == len(above(groups, 0.0))  # texts distinct: nothing to remove
    again = shuffle_rewards(groups, stream("s"))
    assert [c.judged for c in again.columns] == [c.judged for c in moved.columns]
    other = shuffle_rewards(groups, stream("t"))
    assert [c.judged for c in other.columns] != [c.judged for c in moved.columns]


def test_shuffled_correctness_does_not_depend_on_the_sample():
    groups = mixed(n=3, k=4)
    hits = Counter()
    for i in range(600):
        for item in above(shuffle_rewards(groups, stream("s", i)), 0.0):
            hits[item.group, item.sample] += 1
    # half are right, so each of the 12 places should be in half of 600 shuffles (sd 12)
    assert len(hits) == 12
    assert all(abs(h - 300) < 60 for h in hits.values())


@pytest.mark.parametrize("match", ["total", "query", "length"])
def test_random_rows_equal_in_number(match):
    groups = mixed()
    real = above(groups, 0.0)
    drawn = random_of_n(real, groups, stream("r"), match=match)
    assert len(drawn) == len(real)
    assert len({(i.task.id, i.text) for i in drawn}) == len(drawn)
    again = random_of_n(real, groups, stream("r"), match=match)
    assert drawn.items == again.items
    assert drawn.items != random_of_n(real, groups, stream("other"), match=match).items
    if match == "query":
        assert Counter(i.task.id for i in drawn) == Counter(i.task.id for i in real)
    if match == "length":
        lengths = [Counter(i.episode.n_sampled for i in s) for s in (real, drawn)]
        assert lengths[0] == lengths[1]  # eight lengths in ten strata: exact here


def test_random_is_blind_to_scores():
    groups = mixed(n=4, k=4)
    real = above(groups, 0.0)
    flipped = groups.with_verdicts([[verdict(1.0 - v.score) for v in row.judged] for row in groups.columns])
    one = random_of_n(real, groups, stream("r"))
    two = random_of_n(real, flipped, stream("r"))
    assert [(i.group, i.sample) for i in one] == [(i.group, i.sample) for i in two]


def test_random_keeps_gold_and_leaves_unknown_out():
    groups = table(
        group(
            "A",
            [("x", verdict(0.0)), ("y", verdict(0.0, status=Status.CRASH)), ("z", verdict(1.0))],
            solution="g",
        )
    )
    real = above(groups, 0.0, gold=1.0)
    for i in range(20):
        drawn = random_of_n(real, groups, stream("r", i))
        assert drawn.items[-1].gold
        assert drawn.items[0].text in ("x", "z")
    assert drawn.ledger["unknown"] == 1


def test_a_selection_from_other_groups_is_refused():
    with pytest.raises(SharpenError, match="not made from these groups"):
        random_of_n(above(table(scored("A", [1.0])), 0.0), table(scored("B", [1.0])), stream("r"))
    with pytest.raises(SharpenError, match="length"):
        random_of_n(above(mixed(), 0.0), mixed(), stream("r"), match="lengths")  # type: ignore[arg-type]


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), max_size=6), max_size=4), st.integers(0, 9))
def test_control_ledgers_add_up(rows, seed):
    groups = table(*(scored(f"q{i}", r) for i, r in enumerate(rows)))
    real = above(groups, 0.5)
    for match in ("total", "query", "length"):
        drawn = random_of_n(real, groups, stream(seed), match=match)
        ledger = dict(drawn.ledger)
        assert ledger["kept"] == len(drawn) == len(real)
        assert ledger.pop("sampled") + ledger.pop("gold") == sum(ledger.values())


def test_gold_rows():
    tasks = [task(f"q{i}", solution=f"s{i}") for i in range(3)] + [task("none")]
    selection = gold_only(tasks, 7, stream("g"))
    counts = Counter(i.text for i in selection)
    assert sum(counts.values()) == 7
    assert set(counts) == {"s0", "s1", "s2"}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(i.gold and i.correct and i.episode is None for i in selection)
    assert len(gold_only([], 0, stream("g"))) == 0
    with pytest.raises(SharpenError, match="worked solution"):
        gold_only([task("none")], 1, stream("g"))


def test_controlled():
    groups = mixed()

    def select(g):
        return above(g, 0.0)

    real = select(groups)
    assert controlled(groups, select, "none", stream("c")).items == real.items
    for control in ("shuffled", "random"):
        chosen = controlled(groups, select, control, stream("c"))
        assert len(chosen) == len(real)
        assert chosen.items != real.items
    with pytest.raises(SharpenError, match="shuffled"):
        controlled(groups, select, "shufled", stream("c"))  # type: ignore[arg-type]


def test_trimmed():
    real = above(mixed(), 0.0)
    cut = trimmed(real, 5, stream("t"))
    assert len(cut) == 5
    positions = [real.items.index(i) for i in cut]
    assert positions == sorted(positions)
    assert trimmed(real, 99, stream("t")) is real
