"""The memory of decoding: what a place holds stays, however wide the matrices are laid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.sample.cache import SPLIT, Shelf

PLACES, HEADS, SIZE, LENGTH = 5, 2, 3, 2 * SPLIT + 40

acts = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, PLACES - 1), st.integers(0, LENGTH - 1)),
        st.tuples(st.just("lay"), st.integers(1, LENGTH), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, PLACES - 1), st.integers(0, PLACES - 1)),
    ),
    max_size=30,
)


def read(shelf: Shelf) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values ``(places, heads, width, D)``."""
    keys, values = zip(*shelf.read(PLACES), strict=True)
    return tuple(torch.cat(x, 1).view(PLACES, HEADS, -1, SIZE).numpy() for x in (keys, values))


@settings(max_examples=60, deadline=None)
@given(acts)
def test_a_shelf_holds_what_was_written_at_any_width(todo):
    shelf = Shelf(PLACES, HEADS, LENGTH, SIZE)
    shelf.lay(16, PLACES)
    expected = {}
    width = 16
    for n, (act, a, b) in enumerate(todo):
        if act == "lay":
            width = a
            shelf.lay(a, PLACES)
            expected = {at: v for at, v in expected.items() if at[1] < width}
        elif act == "write":
            if b >= width:
                continue
            told = torch.full((1, HEADS, 1, SIZE), float(n)) + torch.arange(HEADS)[None, :, None, None] / 10
            shelf.write(shelf.cells(torch.tensor([a]), torch.tensor([[b]])), told, -told)
            expected[a, b] = told[0, :, 0].numpy()
        elif a != b:
            places = torch.tensor([[a], [b]])
            shelf.move(*(shelf.cells(p, torch.arange(width)[None]) for p in places))
            held = {p: v for (place, p), v in expected.items() if place == a}
            expected = {at: v for at, v in expected.items() if at[0] != b} | {
                (b, p): v for p, v in held.items()
            }
        keys, values = read(shelf)
        assert keys.shape[2] == shelf.width == width
        for (place, position), told in expected.items():
            np.testing.assert_array_equal(keys[place, :, position], told)
            np.testing.assert_array_equal(values[place, :, position], -told)


@pytest.mark.parametrize("width", [16, 80, SPLIT, SPLIT + 16, LENGTH])
def test_what_is_read_has_no_gaps(width):
    shelf = Shelf(PLACES, HEADS, LENGTH, SIZE)
    shelf.lay(width, PLACES)
    for keys, values in shelf.read(PLACES - 1):
        assert keys.is_contiguous()
        assert values.is_contiguous()
        assert keys.shape[0] == (PLACES - 1) * HEADS


def test_places_that_are_not_in_use_may_lose_what_they_held():
    """Only the first places move when the width changes; the others are written anew before they are read."""
    shelf = Shelf(PLACES, HEADS, LENGTH, SIZE)
    shelf.lay(16, PLACES)
    one = torch.ones(1, HEADS, 1, SIZE)
    shelf.write(shelf.cells(torch.tensor([1]), torch.tensor([[3]])), one, one)
    shelf.lay(32, 2)
    keys, _ = read(shelf)
    assert (keys[1, :, 3] == 1).all()
    assert np.isfinite(keys).all()
