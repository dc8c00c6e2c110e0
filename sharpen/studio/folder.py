"""All runs below a folder, as they are now: found, named, and read again only where they have changed."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from sharpen.errors import SharpenError, unknown
from sharpen.runs.lock import is_locked
from sharpen.runs.manifest import MANIFEST, Manifest, read_manifest
from sharpen.runs.step import CHECKPOINTS, ROLLOUTS, slug_of
from sharpen.studio.overview import state
from sharpen.verbs.seeds import PLAN, read_plan, seed_folder

DEEP = 6
"""Folders below the given one that are looked into."""
Stamp = tuple[int, int, bool]


class Folder:
    """Runs by name: their path below ``root``. Nothing is ever written there.

    Raises SharpenError where ``root`` is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SharpenError(f"studio: there is no folder {root}")
        self.root = root
        self._lock = Lock()
        self._manifests: dict[Path, tuple[Stamp, Manifest]] = {}
        self._states: dict[str, tuple[Stamp, dict[str, Any]]] = {}

    def runs(self) -> dict[str, Path]:
        """Name -> folder, by name."""
        return {self._name(p): p for p in sorted(self._found())}

    def _found(self) -> Iterator[Path]:
        seen: set[str] = set()  # links are followed, but in no circle
        for place, below, names in os.walk(self.root, followlinks=True):
            path, real = Path(place), os.path.realpath(place)
            if real in seen and MANIFEST not in names:
                below.clear()
                continue
            seen.add(real)
            if MANIFEST in names:
                below.clear()
                yield path
            elif len(path.relative_to(self.root).parts) >= DEEP:
                below.clear()
            below[:] = [b for b in below if not b.startswith(".") and b not in (ROLLOUTS, CHECKPOINTS)]

    def _name(self, folder: Path) -> str:
        inside = folder.relative_to(self.root).as_posix()
        return inside if inside != "." else self.root.resolve().name

    def run(self, name: str) -> Path:
        """The folder of a run. SharpenError for an unknown name, with the nearest one."""
        runs = self.runs()
        if name not in runs:
            raise unknown("run", name, runs)
        return runs[name]

    def manifest(self, name: str) -> Manifest:
        """A run's manifest, read again where the file has grown."""
        return self._manifest(self.run(name))[1]

    def _manifest(self, folder: Path) -> tuple[Stamp, Manifest]:
        now = stamp(folder)
        with self._lock:
            known = self._manifests.get(folder)
        if known and known[0][:2] == now[:2]:
            return now, known[1]
        manifest = read_manifest(folder)
        with self._lock:
            self._manifests[folder] = now, manifest
        return now, manifest

    def states(self) -> dict[str, Any]:
        """``runs``: how far each is, see ``overview.state``, with ``stamp``, and ``doing`` while it is live;
        and ``groups``: several seeds of one run."""
        runs = self.runs()
        names = {path: name for name, path in runs.items()}
        return {
            "runs": [self._state(name, path) for name, path in runs.items()],
            "groups": list(self._groups(names)),
        }

    def _state(self, name: str, folder: Path) -> dict[str, Any]:
        now = stamp(folder)
        known = self._states.get(name)
        if known and known[0] == now and not now[2]:
            return known[1]
        try:
            _, manifest = self._manifest(folder)
            told = state(folder, manifest, tomllib.loads(manifest.config))
            problem = f"manifest line {manifest.damaged} is damaged" if manifest.damaged else ""
            doing = unfinished(manifest) if now[2] else None
        except SharpenError as error:
            told, problem, doing = {"recipe": "", "state": "unreadable", "steps": 0}, str(error), None
        full = {"id": name, **told, "problem": problem, "doing": doing, "stamp": "-".join(map(str, now))}
        self._states[name] = now, full
        return full

    def _groups(self, names: dict[Path, str]) -> Iterator[dict[str, Any]]:
        for parent in sorted({p.parent for p in names}):
            plan = read_plan(parent) if (parent / PLAN).is_file() else None
            if plan:
                found = [names[p] for p in (seed_folder(parent, s) for s in plan[1]) if p in names]
                yield {"id": self._name(parent), "recipe": plan[0], "runs": found, "planned": len(plan[1])}

    def seeds_of(self, chosen: Sequence[str]) -> list[Path]:
        """The folders of several seeds all of whose runs are among ``chosen``."""
        groups = self.states()["groups"]
        whole = [g for g in groups if len(g["runs"]) > 1 and set(g["runs"]) <= set(chosen)]
        return [self.run(g["runs"][0]).parent for g in whole]


def stamp(folder: Path) -> Stamp:
    """Changes when the run does: the manifest's size and time, and whether the run is live."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return 0, 0, False
    return found.st_size, found.st_mtime_ns, is_locked(folder)


def unfinished(manifest: Manifest) -> dict[str, Any] | None:
    """The step that a live run is at: ``step`` (as a file name) and how many ``units`` it has stored; None
    where none is stored yet."""
    done = {slug_of(key) for key in manifest.steps}
    places = (manifest.folder / ROLLOUTS).glob("*")
    for place in sorted(p for p in places if p.is_dir() and p.name not in done):
        return {"step": place.name, "units": sum(p.suffix == ".parquet" for p in place.iterdir())}
    return None
