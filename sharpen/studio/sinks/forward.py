"""Reads a run's ``metrics.jsonl`` as it grows and sends each row on once.

What was sent is written down beside the rows, so a continued run goes on behind it. A run that was killed
between a row's sending and that note sends this one row again, with the same step.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharpen.runs.atomic import write_atomic
from sharpen.runs.manifest import METRICS, read_manifest
from sharpen.runs.store import SENT
from sharpen.score.verdict import Verdict
from sharpen.studio.sinks import About, Sink
from sharpen.verbs.progress import Progress


@contextmanager
def forwarded(progress: Progress, folder: Path, sinks: Mapping[str, Sink]) -> Iterator[Progress]:
    """``progress`` for the run in ``folder``, which also sends its rows to ``sinks``. A sink that raises is
    told of once, and left out from then on."""
    if not sinks:
        yield progress
        return
    watching = Forwarding(progress, folder, sinks)
    try:
        yield watching
    finally:
        watching.close()


class Forwarding:
    """A watcher that passes everything on, and looks for new rows whenever a step may have ended."""

    def __init__(self, progress: Progress, folder: Path, sinks: Mapping[str, Sink]) -> None:
        self._progress, self._folder = progress, folder
        self._waiting = dict(sinks)
        self._open: dict[str, Sink] = {}
        self._sent: dict[str, dict[str, Any]] = {}
        self._rows: list[dict[str, Any]] = []
        self._read = 0  # bytes

    def begin(self, step: str, verb: str, total: int | None = None) -> None:
        """Passed on."""
        self._progress.begin(step, verb, total)
        self._send()

    def advance(self, done: int, tokens: int = 0) -> None:
        """Passed on."""
        self._progress.advance(done, tokens)

    def end(self) -> None:
        """Passed on."""
        self._progress.end()
        self._send()

    def say(self, text: str) -> None:
        """Passed on."""
        self._progress.say(text)

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Passed on; the row is read from the file, where it stands with its place."""
        self._progress.metrics(row)
        self._send()

    def warn(self, text: str) -> None:
        """Passed on."""
        self._progress.warn(text)

    def rollout(self, prompt: str, text: str, verdict: Verdict | None) -> None:
        """Passed on."""
        self._progress.rollout(prompt, text, verdict)

    def close(self) -> None:
        """Send what is left and close every sink."""
        self._send()
        for name in list(self._open):
            with self._guarded(name):
                self._open[name].close()

    def _send(self) -> None:
        rows = self._rows
        rows += self._fresh()
        if not rows:
            return
        for name in list(self._waiting):
            with self._guarded(name):
                self._begin(name, len(rows))
        for name in list(self._open):
            note = self._sent[name]
            with self._guarded(name):
                for step in range(note["rows"], len(rows)):
                    self._open[name].send(step, numbers(rows[step]))
                    note["rows"] = step + 1
            self._note()

    def _fresh(self) -> list[dict[str, Any]]:
        """The whole lines that came since."""
        path = self._folder / METRICS
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(self._read)
            text, end, _ = file.read().rpartition(b"\n")
        self._read += len(text) + len(end)
        return [json.loads(line) for line in text.splitlines() if line]

    def _begin(self, name: str, rows: int) -> None:
        sink = self._waiting.pop(name)
        note = self._notes().get(name) or {"id": uuid.uuid4().hex[:12], "rows": 0}
        # a run that was repaired has fewer; the others come again as they were
        self._sent[name] = {"id": note["id"], "rows": min(note["rows"], rows)}
        sink.begin(about(self._folder, note["id"], self._sent[name]["rows"]))
        self._open[name] = sink

    def _notes(self) -> dict[str, Any]:
        path = self._folder / SENT
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def _note(self) -> None:
        known = self._notes()
        now = {**known, **self._sent}
        if now != known:
            text = json.dumps(now, indent=1, sort_keys=True) + "\n"
            write_atomic(self._folder / SENT, text.encode(), "config")

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """A sink that fails is left out from here on."""
        try:
            yield
        except Exception as e:
            self._waiting.pop(name, None)
            self._open.pop(name, None)
            self._progress.warn(
                f"sink {name} failed and is left out ({type(e).__name__}: {e}); the run goes on"
            )


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """A row's finite numbers by ``name/measure``."""
    name = str(row.get("name", "metrics"))
    kept = {k: v for k, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {f"{name}/{k}": v for k, v in kept.items() if math.isfinite(v)}


def about(folder: Path, run_id: str, sent: int) -> About:
    """What a sink is told of the run in ``folder``."""
    import tomllib

    from sharpen.studio.overview import flat

    manifest = read_manifest(folder)
    whole = folder.resolve()
    base = f"{whole.parent.name}-{whole.name}" if whole.name.startswith("seed-") else whole.name
    told = {key: manifest.header.get(key) for key in ("recipe", "seed")}
    return About(
        folder, f"{base}-{run_id[:6]}", run_id, {**flat(tomllib.loads(manifest.config)), **told}, sent
    )
