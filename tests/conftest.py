"""One thread a test process, and the numerics pinned before torch is imported."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

import sharpen  # noqa: F401  (sets MKL_CBWR)
from sharpen.runs import own

# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _nobodys_code():
    """Files that a test's command line named are another process's in life."""
    yield
    own.forget()
