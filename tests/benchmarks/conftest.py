"""The scripts of ``benchmarks/`` are importable, and what they make lies in a folder of the tests' own."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
for folder in ("experiments", "benchmarks"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Where models and texts of the benchmarks are made, once a session."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(autouse=True)
def _apart(made, monkeypatch):
    import inputs

    monkeypatch.setattr(inputs, "CACHE", made)
