"""A process as a whole."""

import gc

from sharpen.runs.process import settle


def test_what_is_loaded_is_passed_over_and_that_once():
    gc.unfreeze()
    try:
        settle()
        frozen = gc.get_freeze_count()
        assert frozen > 10_000
        later = [[i] for i in range(20_000)]  # of the run: still looked at
        settle()
        assert gc.get_freeze_count() <= frozen
        assert all(map(gc.is_tracked, later))
    finally:
        gc.unfreeze()
