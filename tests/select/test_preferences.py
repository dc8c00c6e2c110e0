"""Pairs: what is in them, what is not, and whose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status, Verdict
from sharpen.select.preferences import Preference, Preferences, by_score
from sharpen.tasks.task import Task
from tests.scored import episode


def table(*scores, texts=None, unknown=(), start=0):
    """One group a list of scores."""
    groups = []
    for g, row in enumerate(scores, start):
        said = texts[g - start] if texts else [f"text {k}" for k in range(len(row))]
        task = Task(f"t{g}", "?", "1")
        verdicts = tuple(
            Verdict(s, Status.TIMEOUT if (g, k) in unknown else Status.OK) for k, s in enumerate(row)
        )
        episodes = tuple(episode(t, of=task.id, sample=k) for k, t in enumerate(said))
        groups.append(Group(task, episodes, verdicts))
    return Groups(groups)


def places(pairs):
    return [(p.chosen.group, p.chosen.sample, p.rejected.sample) for p in pairs]


def test_pairs_are_better_and_worse_and_the_others_are_counted():
    groups = table([1, 0, 1], [0, 0], [1, 1], [1, 0])
    found = by_score(groups, stream("pairs"), per_query=9)
    assert places(found) == [(0, 0, 1), (0, 2, 1), (3, 0, 1)]
    assert found.ledger == {"questions": 4, "paired": 2, "nothing_to_tell": 2, "pairs": 3}
    assert [p.gap for p in found] == [1, 1, 1]


def test_a_margin_unknown_verdicts_and_equal_texts():
    assert places(by_score(table([3, 1, 2]), stream("p"), margin=1)) == [(0, 0, 1)]
    assert places(by_score(table([1, 0, 0], unknown={(0, 1)}), stream("p"))) == [(0, 0, 2)]
    same = table([1, 0, 0], texts=[["a", "b", "b"]])
    assert places(by_score(same, stream("p"))) == [(0, 0, 1)]


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(1, 4)
)
def test_never_more_than_asked_never_twice_and_always_the_better_one_first(scores, per_query):
    found = by_score(table(*scores), stream("p"), per_query=per_query)
    at = places(found)
    assert len(set(at)) == len(at)
    for g, row in enumerate(scores):
        mine = [p for p in found if p.chosen.group == g]
        possible = sum(a > b for a in row for b in row)
        assert len(mine) == min(per_query, possible)
        assert all(row[p.chosen.sample] > row[p.rejected.sample] for p in mine)
    # a question's draws do not depend on the others
    alone = by_score(table(scores[-1], start=len(scores) - 1), stream("p"), per_query=per_query)
    assert [(c, r) for _, c, r in places(alone)] == [(c, r) for g, c, r in at if g == len(scores) - 1]


def test_which_pairs_are_drawn_is_uniform_and_hangs_on_the_stream():
    groups = table([1, 1, 0, 0])
    counts = np.zeros((4, 4))
    for i in range(400):
        [pair] = by_score(groups, stream("uniform", i), per_query=1)
        counts[pair.chosen.sample, pair.rejected.sample] += 1
    assert counts[:2, 2:].min() > 60
    assert counts.sum() == counts[:2, 2:].sum() == 400


def test_what_is_no_pair_is_refused():
    [a] = by_score(table([1, 0]), stream("p"))
    [b] = by_score(table([1, 0], start=1), stream("p"))
    with pytest.raises(SharpenError, match="two tasks"):
        Preference(a.chosen, b.rejected)
    with pytest.raises(SharpenError, match="higher score"):
        Preference(a.rejected, a.chosen)
    with pytest.raises(SharpenError, match="does not add up"):
        Preferences((a,), {}, {"questions": 1, "paired": 0, "pairs": 1})
    with pytest.raises(SharpenError, match="per_query=0"):
        by_score(table([1]), stream("p"), per_query=0)
