"""``sharpen report``: runs as one HTML file that opens offline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen import __version__
from sharpen.errors import SharpenError
from sharpen.measure.report import METRICS
from sharpen.studio.chosen import TOKENS, chosen
from sharpen.studio.compare import pairs
from sharpen.studio.curves import SECTIONS
from sharpen.studio.items import held_out_items
from sharpen.studio.overview import overview, pooled
from sharpen.studio.page import standalone
from sharpen.studio.table import seeds_gains
from sharpen.studio.words import is_share, label
from sharpen.verbs.seeds import read_plan, seed_folder, summarise

MOST_RUNS = 24


def report(folders: Sequence[Path], rollouts: int) -> dict[str, Any]:
    """What a report shows, as JSON values.

    Args:
        folders: runs, or folders of several seeds.
        rollouts: how many episodes of each run at most.

    Raises:
        SharpenError: no run that could be shown, or too many.
    """
    named: dict[str, Path] = {}
    groups: list[dict[str, Any]] = []
    for folder in folders:
        found, group = members(folder, name_of(folder, folders))
        named |= found
        groups += [group] if group else []
    if not named:
        raise SharpenError("report: no seed has begun yet")
    if len(named) > MOST_RUNS:
        raise SharpenError(f"report: {len(named)} runs are too many for one page: name at most {MOST_RUNS}")
    room = TOKENS // len(named)
    return {
        "kind": "report",
        "version": __version__,
        "title": ", ".join(name_of(f, folders) for f in folders),
        "sections": SECTIONS,
        "measures": METRICS,
        "runs": [overview(folder, name) for name, folder in named.items()],
        "groups": groups,
        "pairs": compared(list(named.items())) if not groups else [],
        "rollouts": {name: chosen(folder, rollouts, room) for name, folder in named.items()},
    }


def name_of(folder: Path, folders: Sequence[Path]) -> str:
    """What a page calls a folder: its name, with more of its path where another has the same."""
    # a link keeps the name that it was given
    whole = Path(os.path.abspath(folder))
    others = [p for p in (Path(os.path.abspath(f)) for f in folders) if p != whole]
    for n in range(1, len(whole.parts)):
        name = "/".join(whole.parts[-n:])
        if all("/".join(o.parts[-n:]) != name for o in others):
            return name
    return str(folder)


def members(folder: Path, name: str) -> tuple[dict[str, Path], dict[str, Any] | None]:
    """The runs in a folder by name; with several seeds also what they came to together: ``gains`` and the
    ``pooled`` curves, with intervals over seeds and questions."""
    plan = read_plan(folder)
    if plan is None:
        return {name: folder}, None
    recipe, seeds = plan
    runs = {f"{name}/seed-{s}": seed_folder(folder, s) for s in seeds}
    runs = {n: f for n, f in runs.items() if (f / "manifest.jsonl").is_file()}
    values = {s: held_out_items(f) for s, f in enumerate(runs.values())}
    found = seeds_gains(summarise(recipe, "", values)) if values else []
    gains = [{**g.to_json(), "label": label(g.measure), "share": is_share(g.measure)} for g in found]
    group = {"id": name, "recipe": recipe, "runs": list(runs), "planned": len(seeds), "gains": gains}
    return runs, {**group, "pooled": pooled(list(runs.values()))}


def compared(named: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    """Final value of every further run minus that of the first, paired by held-out question."""
    first, *others = named
    return [
        {**pair, "a": first[0], "b": name, "label": label(pair["measure"])}
        for name, folder in others
        for pair in pairs(first[1], folder)
    ]


def write_report(folders: Sequence[Path], out: Path, rollouts: int) -> dict[str, Any]:
    """Write the report; ``file``, ``bytes``, ``runs``, ``rollouts`` shown and ``rollouts_of`` how many.

    Raises SharpenError where the file cannot be written.
    """
    data = report(folders, rollouts)
    # a lone surrogate in a model's text is escaped in the JSON, and nothing else of the page has one
    text = standalone(f"{data['title']} · Sharpen", data).encode()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(text)
    except OSError as e:
        raise SharpenError(f"cannot write {out}: {e.strerror or e}") from None
    shown = data["rollouts"].values()
    return {
        "file": str(out),
        "bytes": len(text),
        "runs": [run["id"] for run in data["runs"]],
        "rollouts": sum(r["shown"] for r in shown),
        "rollouts_of": sum(r["of"] for r in shown),
    }
