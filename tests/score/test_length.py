"""The overlong penalty."""

import pytest

from sharpen.errors import SharpenError
from sharpen.score.length import overlong_penalty


@pytest.mark.parametrize(("length", "penalty"), [(1000, 0), (1536, 0), (1792, -0.5), (2048, -1), (9999, -1)])
def test_oracle(length, penalty):
    assert overlong_penalty(length, limit=2048, buffer=512) == penalty


def test_bad_buffer():
    with pytest.raises(SharpenError, match="buffer=0"):
        overlong_penalty(1, limit=10, buffer=0)
