"""The memory of decoding: what a place holds stays, however wide the matrices are laid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.sample.cache import PATIENCE, SPLIT, Shelf, Store

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


def test_a_shelf_gets_wider_at_once_and_narrower_only_where_that_pays():
    shelf = Shelf(PLACES, HEADS, LENGTH, SIZE)
    assert [shelf.fit(width, PLACES) for width in (16, 64, 64)] == [16, 64, 64]
    patient = PATIENCE * 64 // (64 - 16)
    assert [shelf.fit(16, PLACES) for _ in range(patient)] == [64] * patient
    assert shelf.fit(64, PLACES) == 64  # what was too wide was needed again: counted anew
    assert [shelf.fit(16, PLACES) for _ in range(patient + 1)] == [64] * patient + [16]


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(PLACES)), st.integers(1, PLACES // 2), st.integers(0, SPLIT + 20))
def test_many_places_move_at_once_in_every_layer(places, n, length):
    store, width = Store(PLACES, LENGTH), SPLIT + 32
    for layer in (0, 1):
        shelf = store.shelf(layer, torch.zeros(1, HEADS, 1, SIZE))
        shelf.lay(width, PLACES)
        told = torch.randn(PLACES, HEADS, width, SIZE, generator=torch.Generator().manual_seed(layer))
        shelf.write(shelf.cells(torch.arange(PLACES), torch.arange(width).expand(PLACES, -1)), told, -told)
    before = [read(store.shelves[layer])[0].copy() for layer in (0, 1)]
    sources, targets = places[:n], places[n : 2 * n]
    store.move(sources, targets, length)
    for layer, want in enumerate(before):
        want[targets, :, :length] = want[sources, :, :length]
        keys, values = read(store.shelves[layer])
        np.testing.assert_array_equal(keys, want)
        np.testing.assert_array_equal(values, -want)
