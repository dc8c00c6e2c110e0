"""A run as plain dicts for a page: what it gained and cost, how far it is, what looked wrong, its curves."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.measure.intervals import hierarchical_bootstrap, wilson
from sharpen.measure.warnings import Watch
from sharpen.recipes import RECIPES
from sharpen.runs.lock import is_locked
from sharpen.runs.manifest import Manifest, read_manifest
from sharpen.runs.step import verb_of
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.studio import curves
from sharpen.studio.contests import CONTEST
from sharpen.studio.items import COLUMNS, changes, seconds, values_of
from sharpen.studio.strategies import read_strategies
from sharpen.studio.table import MAIN, gains
from sharpen.studio.words import is_share, label
from sharpen.verbs.cost import cost

LEDGER = ("sample", "score", "learn", "measure", "other")
"""What a run's time goes into."""
_VERBS = {
    **dict.fromkeys(("sample", "solve", "play"), "sample"),
    **dict.fromkeys(("score", "judging", "step_score"), "score"),
    **dict.fromkeys(("learn", "head", "annotate", "value", "critic", "states"), "learn"),
    **dict.fromkeys(("measure", "weigh", "efficiency", "reliability", "sharpness", "modes"), "measure"),
}
_MEASURING = ("held_out", "validation", "contest", "transfer")
_DRAWS = 2000
"""Bootstrap replicates of an interval in a curve."""

CONTROLS = {
    "shuffled": "control: rewards are shuffled within their round, so what is learnt has nothing to do with "
    "what was right; a gain here is not the method's",
    "random": "control: attempts are drawn at random, right or wrong, as many as the method would select",
    "gold": "control: worked solutions are learnt instead of the model's own attempts",
}


def overview(folder: Path, name: str) -> dict[str, Any]:
    """All that a page shows of one run, but for its rollouts; JSON values. ``name`` names it on the page."""
    manifest = read_manifest(folder)
    config = tomllib.loads(manifest.config)
    rows = manifest.metrics
    return {
        "id": name,
        **state(folder, manifest, config),
        "gains": run_gains(folder, manifest),
        "strategies": [line.to_json() for line in read_strategies([folder])],
        "cost": costs(folder, manifest),
        "warnings": warnings(manifest),
        "charts": _with_intervals(folder, manifest, curves.charts(rows)),
        "statuses": [*curves.statuses(rows), *_endings(manifest)],
        "searches": curves.searches(rows),
        "ledger": ledger(folder, manifest),
        "settings": flat(config),
        "versions": {k: str(v) for k, v in (manifest.header.get("versions") or {}).items()},
        "code": str(manifest.header.get("code", "")),
    }


def state(folder: Path, manifest: Manifest, config: Mapping[str, Any]) -> dict[str, Any]:
    """Which run it is, and how far: ``recipe``, ``seed``, ``title``, ``control``, ``state``, ``round``,
    ``rounds``, ``steps``, ``last``, ``headline`` (what the run is for, by round)."""
    header, steps = manifest.header, manifest.steps
    recipe = str(header.get("recipe", ""))
    title = RECIPES[recipe].title if recipe in RECIPES else ""
    reached = max((r["round"] for r in manifest.metrics if isinstance(r.get("round"), int)), default=0)
    rounds = config.get("rounds")
    live = is_locked(folder)
    control = str(config.get("control", "none"))
    told = "" if control == "none" else CONTROLS.get(control, f"control: {control}")
    return {
        "recipe": recipe,
        "title": title,
        "seed": header.get("seed"),
        "control": told or ("control" if "(control)" in title else ""),
        "state": "running" if live else "finished" if _is_finished(manifest, reached, rounds) else "stopped",
        "round": reached,
        "rounds": rounds if isinstance(rounds, int) else None,
        "steps": len(steps),
        "last": next(reversed(steps), ""),
        "headline": headline(manifest.metrics),
    }


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The measure that a run is for: its ``label``, whether it is a ``share``, and its ``values`` so far. Of
    a run that plays how far it is from an equilibrium, or else its first contest; of others greedy accuracy.
    """
    held = [row for row in rows if row.get("name") == CONTEST]
    known = dict.fromkeys(k for row in held for k in row)
    solved = [k for k in ("nash_conv_average", "nash_conv") if k in known]
    name = next((k for k in (*solved, *(k for k in known if k.endswith("/won")))), "")
    if not name:
        held, name = [row for row in rows if row.get("name") == MAIN], "accuracy_greedy"
    if name in solved:
        told = "NashConv" if name == "nash_conv" else "NashConv, average"
    else:
        told = f"won against {name.rpartition('/')[0]}" if name in known else label(name)
    return {"label": told, "share": name not in solved, "values": [row[name] for row in held if name in row]}


def _is_finished(manifest: Manifest, reached: int, rounds: Any) -> bool:
    """Whether the last planned round was measured; a run that plans none is taken for finished."""
    if not isinstance(rounds, int):
        return bool(manifest.steps)
    measured = [r["round"] for r in manifest.metrics if r.get("name") in (MAIN, CONTEST)]
    return (max(measured) if measured else reached) >= rounds


def run_gains(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """First against last measure, with the interval of the change; see ``sharpen.studio.table.gains``."""
    return [
        {**g.to_json(), "label": label(g.measure), "share": is_share(g.measure)}
        for g in gains(manifest.metrics, changes(folder))
    ]


def costs(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """``cost`` of the finished steps, with ``plays`` and ``seconds``."""
    steps = manifest.steps
    plays = sum(
        (line["result"] or {}).get("plays", 0)
        for key, line in steps.items()
        if verb_of(key) == "play" and not is_measuring(key)
    )
    return {**cost(steps.values()), "plays": plays, "seconds": round(sum(seconds(folder).values()), 1)}


def is_measuring(key: str) -> bool:
    """Whether a step's key names a scope in which nothing is learnt from."""
    return not set(_MEASURING).isdisjoint(key.split("/")[:-1])


def round_of(key: str) -> int:
    """The round that a step's key names, 0 before the first."""
    for part in key.split("/"):
        if part.startswith("round-") and part[6:].isdigit():
            return int(part[6:])
    return 0


def warnings(manifest: Manifest) -> list[dict[str, Any]]:
    """``round`` and ``text`` of what looks wrong: what the run warned of, said again from its rows, and what
    its manifest tells."""
    watch, out = Watch(), []
    for row in manifest.metrics:
        found = []
        if row.get("name") == "score":
            found = watch.training({k: v for k, v in row.items() if k not in ("key", "name")})
        elif row.get("name") == MAIN:
            found = watch.held_out(row)
        out += [{"round": row.get("round", 0), "text": text} for text in found]
    for key, line in manifest.steps.items():
        if verb_of(key) == "learn" and (line["result"] or {}).get("rows") == 0:
            out.append({"round": round_of(key), "text": "nothing was selected, so nothing was learnt"})
    notes = []
    if manifest.damaged:
        notes.append(f"manifest line {manifest.damaged} is damaged: what follows it is not shown")
    if manifest.accepted:
        notes.append("continued with other code or library versions than it began with")
    if (manifest.header.get("numerics") or {}).get("exact") is False:
        notes.append("exact mode was off: results repeat only statistically")
    if parent := manifest.header.get("parent"):
        notes.append(f"forked from {parent.get('run')} at {parent.get('at')}")
    return [*({"round": None, "text": text} for text in notes), *out]


def ledger(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """Seconds by round: ``round`` and one number for each of ``LEDGER``. Steps that held-out questions need
    count as ``measure``, whatever their verb."""
    out: dict[int, dict[str, float]] = {}
    steps = manifest.steps
    for key, spent in seconds(folder).items():
        if key not in steps:
            continue
        kind = "measure" if is_measuring(key) else _VERBS.get(verb_of(key), "other")
        line = out.setdefault(round_of(key), dict.fromkeys(LEDGER, 0.0))
        line[kind] += spent
    return [{"round": r, **{k: round(v, 1) for k, v in out[r].items()}} for r in sorted(out)]


def flat(config: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{where}{key}.")
        else:
            out[where + key] = value
    return out


# intervals in curves ----------------------------------------------------------------------------
def _with_intervals(
    folder: Path, manifest: Manifest, charts: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The charts; accuracy at temperature 1 gets its interval over questions, games won theirs over games."""
    by_id = {c["id"]: c for c in charts}
    sampled = by_id.get(f"{MAIN}/accuracy_t1")
    if sampled:
        found = {r: v.get("accuracy_t1", {}) for r, v in held_out_by_round(folder, manifest).items()}
        for point in sampled["series"][0]["points"]:
            if found.get(point[0]):
                point[2:] = interval([found[point[0]]], "accuracy_t1")
    counts = _games(manifest)
    for chart in charts:
        if chart["name"] == CONTEST and chart["share"]:
            opponent = chart["measure"].rpartition("/")[0]
            for point in chart["series"][0]["points"]:
                if n := counts.get((point[0], opponent)):
                    point[2:] = wilson(round(point[1] * n), n)
    return list(charts)


def _games(manifest: Manifest) -> dict[tuple[int, str], int]:
    """Games of a contest by round and opponent."""
    return {
        (round_of(key), line["name"].removeprefix("against ")): line["result"]["plays"]
        for key, line in manifest.steps.items()
        if verb_of(key) == "play" and "contest" in key.split("/")
    }


def _endings(manifest: Manifest) -> list[dict[str, Any]]:
    """How games for learning ended, as ``curves.statuses`` has it of attempts."""
    out = []
    for key, line in manifest.steps.items():
        result = line["result"] or {}
        if verb_of(key) == "play" and not is_measuring(key) and result.get("plays"):
            n = result["plays"]
            bad = {k: result[k] / n for k in ("invalid_move", "truncated", "crash") if result.get(k)}
            shares = {"ok": max(1 - sum(bad.values()), 0.0), **bad}
            out.append({"name": "games", "round": round_of(key), "shares": shares})
    return out


def held_out_by_round(folder: Path, manifest: Manifest) -> dict[int, dict[str, dict[str, float]]]:
    """Round -> measure -> question -> value of every held-out step."""
    files = unit_files(folder)
    return {
        row["round"]: values_of(files.get(row["key"], []), COLUMNS)
        for row in manifest.metrics
        if row.get("name") == MAIN and isinstance(row.get("round"), int)
    }


def interval(runs: Sequence[Mapping[str, float]], measure: str) -> tuple[float | None, float | None]:
    """95 % over seeds and the questions that all of them answered; None and None without any."""
    items = sorted(set.intersection(*(set(r) for r in runs))) if runs else []
    if not items:
        return None, None
    values = [[r[i] for i in items] for r in runs]
    return hierarchical_bootstrap(values, n=_DRAWS, stream=stream("curve", measure))[1:]


def pooled(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Accuracy by round over seeds: ``id`` of the chart, and ``points`` with intervals over seeds and
    questions, for the rounds that every seed has measured."""
    found = [held_out_by_round(f, read_manifest(f)) for f in folders]
    rounds = sorted(set.intersection(*(set(f) for f in found))) if found else []
    out = []
    for measure in curves.ACCURACY:
        points = []
        for r in rounds:
            runs = [f[r].get(measure, {}) for f in found]
            shared = sorted(set.intersection(*(set(v) for v in runs)))
            if shared:
                mean = sum(v[i] for v in runs for i in shared) / (len(runs) * len(shared))
                points.append([r, mean, *interval(runs, measure)])
        if points:
            out.append({"id": f"{MAIN}/{measure}", "points": points})
    return out
