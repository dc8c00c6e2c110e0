"""Recipes run for real in this process with their tiny settings, and what such runs wrote."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sharpen import recipes
from sharpen.recipes.execute import execute
from sharpen.runs.config import Config, load
from sharpen.runs.store import read_manifest, unit_files
from sharpen.verbs.progress import Silent

MEMORY = Path("/dev/shm")
_root = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)


PINNED = (
    "tasks=countdown",
    "optimizer.lr=0.0005",
    "optimizer.min_lr=0",
    "optimizer.schedule=constant",
    "optimizer.warmup_steps=10",
    "optimizer.total_steps=0",
)
"""Settings that recipes may have different defaults for; with these, recipes can be compared."""


def settings(recipe: str, *changes: str, pinned: bool = True) -> Config:
    """The recipe's tiny settings with ``key=value`` changes, over ``PINNED`` ones or those it ships with."""
    cls = recipes.recipe(recipe).load()[1]
    own = [p for p in PINNED if p.partition("=")[0].partition(".")[0] in cls.model_fields]
    return load(cls, overrides=(*own * pinned, *changes), tiny=True)


@cache
def finished(recipe: str, *changes: str, pinned: bool = True) -> Path:
    """The folder of a finished tiny run, made once a session: read it, never change it."""
    folder = Path(tempfile.mkdtemp(dir=_root.name)) / recipe
    execute(recipe, settings(recipe, *changes, pinned=pinned), folder)
    return folder


def cut_before(folder: Path, to: Path, sign: str) -> None:
    """A copy of a finished run as if it had been killed before the first step whose manifest line has
    ``sign``."""
    shutil.copytree(folder, to)
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if sign in line)
    (to / "manifest.jsonl").write_text("".join(lines[:at]))


class Told(Silent):
    """Remembers what a run says."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)


def steps(folder: Path, verb: str, scope: str = "") -> dict[str, dict]:
    """Manifest lines of a verb's finished steps by key, in order; with ``scope``, of those below it."""
    return {
        key: line
        for key, line in read_manifest(folder).steps.items()
        if key.rsplit("/", 1)[-1].startswith(f"{verb}:") and key.startswith(scope)
    }


def rounds(folder: Path, name: str) -> list[dict]:
    """The rows of ``metrics.jsonl`` called ``name``, in order."""
    return [row for row in read_manifest(folder).metrics if row.get("name") == name]


def stored(folder: Path, key: str) -> pa.Table:
    """What a step stored, all units in order."""
    return pa.concat_tables([pq.read_table(path) for path in unit_files(folder)[key]])
