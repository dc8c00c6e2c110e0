"""pass@k and its relatives equal the enumeration of every subset."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.passk import best_of_k, pass_at_k, pass_at_k_s, reward_at_k_s


def test_oracle_4():
    values = [pass_at_k_s(8, 3, 4, s) for s in (1, 2, 3)]
    assert values == pytest.approx([0.928571, 0.5, 0.071429], abs=5e-7)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_equals_enumeration(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            subsets = list(combinations([i < c for i in range(n)], k))
            for s in range(1, n + 2):
                share = sum(sum(x) >= s for x in subsets) / len(subsets)
                assert pass_at_k_s(n, c, k, s) == pytest.approx(share, abs=1e-12)
            assert pass_at_k(n, c, k) == pass_at_k_s(n, c, k, 1)


def test_edges():
    assert pass_at_k_s(8, 8, 4, 5) == 0.0  # K < S counts 0
    assert pass_at_k(1000, 0, 1000) == 0.0
    assert pass_at_k(1000, 1, 1000) == 1.0
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    for bad in [(4, 5, 2, 1), (4, 2, 5, 1), (4, 2, 0, 1), (4, 2, 2, 0), (0, 0, 1, 1)]:
        with pytest.raises(SharpenError):
            pass_at_k_s(*bad)


SAMPLES = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 1.0, float("nan")]), st.booleans()), min_size=1, max_size=7
)


@settings(max_examples=60)
@given(SAMPLES, st.integers(1, 7), st.integers(1, 8))
def test_reward_at_k_s_equals_enumeration(samples, k, s):
    n = len(samples)
    k = min(k, n)
    scores, right = [x for x, _ in samples], [r for _, r in samples]

    def top_right(subset):
        known = sorted(
            subset, key=lambda i: (scores[i] != scores[i], -scores[i] if scores[i] == scores[i] else 0)
        )
        return k >= s and all(right[i] for i in known[:s])

    subsets = list(combinations(range(n), k))
    share = sum(map(top_right, subsets)) / len(subsets)
    assert reward_at_k_s(scores, right, k, s) == pytest.approx(share, abs=1e-12)
    assert best_of_k(scores, right, k) == reward_at_k_s(scores, right, k, 1)


def test_reward_at_n():
    assert reward_at_k_s([0.9, 1.5, 0.2], [False, True, True], 3, 1) == 1.0
    assert reward_at_k_s([0.9, 1.5, 0.2], [False, True, True], 3, 2) == 0.0
    assert reward_at_k_s([0.9], [True], 1, 4) == 0.0
    with pytest.raises(SharpenError):
        reward_at_k_s([1.0], [True, False], 1, 1)
