"""Embeddings, nearness and clusters of questions."""

from __future__ import annotations

import numpy as np

from sharpen.strategies.memory import clusters, embed, nearest


def test_vectors_have_length_one_and_know_the_wording_but_not_the_numbers():
    rows = embed(["Compute 7 +5 *3", "Compute 2 +9 *1", "Make 29 from 3 7 8", ""])
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0])
    assert np.isclose(rows[0] @ rows[1], 1.0)
    assert rows[0] @ rows[2] < 0.5


def test_nearest_first_and_ties_in_order():
    ranked = nearest("sort the apples", ["a cake", "sort the pears", "sort the apples", "sort the apples"])
    assert [i for _, i in ranked] == [2, 3, 1, 0]
    assert np.isclose(ranked[0][0], 1.0)


def test_clusters_hold_what_is_alike_centre_outward():
    rng = np.random.default_rng(0)
    centres = np.eye(3)
    rows = np.vstack([centres[i % 3] + 0.05 * rng.standard_normal(3) for i in range(30)])
    found = clusters(rows, 3)
    assert [sorted(g) for g in found] == [list(range(i, 30, 3)) for i in range(3)]
    for group in found:
        middle = rows[group].mean(axis=0)
        away = [float(np.linalg.norm(rows[i] - middle)) for i in group]
        assert away == sorted(away)
    assert clusters(rows, 3) == found


def test_no_more_clusters_than_different_rows():
    assert [len(g) for g in clusters(np.ones((5, 4)), 3)] == [5]
    assert clusters(np.zeros((0, 4)), 3) == []
    assert len(clusters(np.eye(2), 8)) == 2
