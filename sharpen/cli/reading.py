"""The verbs that read: ``show``, ``list``, ``compare``, ``explain``. None of them imports torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen import recipes
from sharpen.cli.parsing import RUNS, Parser, count, find_run, is_run
from sharpen.errors import SharpenError, unknown

if TYPE_CHECKING:
    from sharpen.runs.manifest import Manifest

MOST_STEPS = 60
"""More steps of a run are shown only where all are asked for."""
KINDS = ("recipes", "strategies", "tasks", "games", "models", "runs")


def show(argv: Sequence[str]) -> int:
    """``sharpen show RUN [KEY]``."""
    parser = Parser("show", "What a run gained and its steps; with KEY, what one step did and sampled.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.add_argument("key", metavar="KEY", nargs="?", help="a step")
    parser.add_argument("-n", type=count, default=5, metavar="N", help="rollouts shown (default: 5)")
    parser.add_argument("--steps", action="store_true", help="every step, also of a long run")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.verbs.seeds import read_plan

    folder = find_run(args.run)
    if plan := read_plan(folder):
        _show_seeds(folder, *plan, as_json=args.json)
    elif args.key:
        _show_step(folder, args.key, args.n, args.json)
    else:
        _show_run(folder, as_json=args.json, every=args.steps)
    return 0


def list_(argv: Sequence[str]) -> int:
    """``sharpen list [recipes|strategies|tasks|games|models|runs]``."""
    parser = Parser("list", f"What there is: {', '.join(KINDS)} (default: all).")
    parser.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0
    if args.kind and args.kind not in KINDS:
        raise unknown("kind", args.kind, KINDS)
    found = {kind: _LISTS[kind]() for kind in ([args.kind] if args.kind else KINDS)}
    if args.json:
        print(json.dumps(found[args.kind] if args.kind else found, indent=1))
        return 0

    from sharpen.studio.table import listing
    from sharpen.studio.table import show as draw

    for kind, rows in found.items():
        heads = list(rows[0]) if rows else []
        draw(sys.stdout, *([] if args.kind else [kind]))
        draw(sys.stdout, listing(heads, [list(r.values()) for r in rows]) if rows else "  none yet")
        draw(sys.stdout, *([] if args.kind else [""]))
    return 0


def compare(argv: Sequence[str]) -> int:
    """``sharpen compare RUN RUN ...``."""
    parser = Parser(
        "compare", "Runs side by side, with paired differences where they answered the same questions."
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two or more runs")
    parser.add_argument(
        "--exact", action="store_true", help="compare two runs byte for byte; exit 1 if they differ"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0
    folders = [find_run(r) for r in args.runs]
    if len(folders) < 2 or (args.exact and len(folders) != 2):
        raise SharpenError(f"compare: {'two' if args.exact else 'two or more'} runs are needed")
    return _compare_exact(folders[0], folders[1], args.json) if args.exact else _compare(folders, args.json)


def explain(argv: Sequence[str]) -> int:
    """``sharpen explain RECIPE``."""
    parser = Parser("explain", "A recipe's settings: key, what is allowed, default, meaning.")
    parser.add_argument("recipe", metavar="RECIPE", help="`sharpen list recipes` names them")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is not None:
        settings_of(args.recipe, as_json=args.json)
    return 0


def settings_of(recipe: str, *, as_json: bool = False) -> None:
    """Print the settings of a recipe."""
    from sharpen.runs.config import describe

    entry = recipes.recipe(recipe)
    rows = describe(entry.load()[1])
    if as_json:
        print(json.dumps([r._asdict() for r in rows], indent=1))
        return

    from rich.text import Text

    from sharpen.studio.table import show as draw

    parts: list[Text | str] = [
        f"{entry.name}: {entry.title}",
        f"https://arxiv.org/abs/{entry.arxiv}" if entry.arxiv else "",
    ]
    for r in rows:
        parts += [Text(f"{r.key} = {r.default}", style="bold").append(f"  ({r.type})", style="not bold dim")]
        parts += [f"    {r.doc}"] if r.doc else []
    draw(sys.stdout, *parts)


# show ---------------------------------------------------------------------------------------------
def _show_run(folder: Path, *, as_json: bool, every: bool) -> None:
    from sharpen.runs.manifest import read_manifest
    from sharpen.studio.contests import outcome_parts
    from sharpen.studio.items import changes
    from sharpen.studio.strategies import read_strategies, strategies_parts
    from sharpen.studio.table import gains, listing, settings_lines
    from sharpen.studio.table import show as draw

    manifest = read_manifest(folder)
    found, weighed = gains(manifest.metrics, changes(folder)), read_strategies([folder])
    steps = _steps(folder, manifest)
    head = {k: v for k, v in manifest.header.items() if isinstance(v, str | int) and k != "code"}
    head["accepted"] = "continued with other code" if manifest.accepted else ""
    head["state"] = _state(folder, manifest)
    if as_json:
        told = {"run": str(folder), "header": manifest.header, "accepted": manifest.accepted, "steps": steps}
        told |= {"strategies": [line.to_json() for line in weighed]} if weighed else {}
        print(
            json.dumps({**told, "gains": [g.to_json() for g in found], "metrics": manifest.metrics}, indent=1)
        )
        return
    rows = [(s["step"], s["seconds"], s["files"], s["checkpoints"], s["told"]) for s in steps]
    if len(rows) > MOST_STEPS and not every:
        half = MOST_STEPS // 2
        rows[half:-half] = [("...", None, "", "", f"{len(rows) - 2 * half:,} steps more: --steps shows them")]
    draw(
        sys.stdout,
        settings_lines({"run": str(folder), **{k: v for k, v in head.items() if v != ""}}),
        "",
        *(strategies_parts(weighed) if weighed else outcome_parts(manifest.metrics, found)),
        "",
        listing(["step", "seconds", "files", "checkpoints", ""], rows),
        f"\nsharpen show {folder} KEY shows what a step sampled",
    )


def _steps(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    from sharpen.studio.items import seconds as seconds_of
    from sharpen.studio.words import HEADLINE, cells, label

    seconds = seconds_of(folder)
    out = []
    for key, line in manifest.steps.items():
        measured = [
            f"{label(n)} {c}" for row in line["metrics"] for n, c in cells(row).items() if n in HEADLINE
        ]
        result = line["result"] or {}
        counts = {k: v for k, v in result.items() if isinstance(v, int) and not isinstance(v, bool)}
        counted = [f"{v:,} {k.removeprefix('n_')}" for k, v in counts.items() if k != "round"]
        out.append(
            {
                "step": key,
                "seconds": seconds.get(key),
                "files": len(line["units"]),
                "checkpoints": len(line["checkpoints"]),
                "told": ", ".join(measured or counted[:3]),
            }
        )
    return out


def _state(folder: Path, manifest: Manifest) -> str:
    from sharpen.runs.lock import is_locked

    live = "running, " if is_locked(folder) else ""
    bad = "; the last line is torn, resume mends it" if manifest.torn else ""
    bad = f"; line {manifest.damaged} is damaged" if manifest.damaged else bad
    return f"{live}{len(manifest.steps)} steps finished{bad}"


def _show_step(folder: Path, key: str, n: int, as_json: bool) -> None:
    from sharpen.runs.manifest import read_manifest
    from sharpen.studio.matches import first_plays, play_parts
    from sharpen.studio.rollouts import first_rollouts, rollout_parts
    from sharpen.studio.table import settings_lines
    from sharpen.studio.table import show as draw

    steps = read_manifest(folder).steps
    if key not in steps:
        raise unknown("step", key, steps)
    line = steps[key]
    plays = first_plays(folder, key, n)
    found = [] if plays else first_rollouts(folder, key, n)
    if as_json:
        print(json.dumps({**line, "rollouts": found, **({"plays": plays} if plays else {})}, indent=1))
        return
    flat = {k: v for k, v in (line["result"] or {}).items() if isinstance(v, int | float | str)}
    told = {k: v for row in line["metrics"] for k, v in row.items()}
    draw(sys.stdout, settings_lines({"step": key, **flat, **told}))
    for rollout in found:
        draw(sys.stdout, "", *rollout_parts(rollout))
    for play in plays:
        draw(sys.stdout, "", *play_parts(play))


def _show_seeds(folder: Path, recipe: str, seeds: list[int], *, as_json: bool) -> None:
    from sharpen.runs.manifest import read_manifest
    from sharpen.studio.strategies import summary_parts
    from sharpen.studio.table import listing, settings_lines
    from sharpen.studio.table import show as draw
    from sharpen.verbs.seeds import SUMMARY, seed_folder

    path = folder / SUMMARY
    summary = json.loads(path.read_text("utf-8")) if path.exists() else None
    runs = [(s, seed_folder(folder, s)) for s in seeds]
    rows = [(s, str(r), _state(r, read_manifest(r)) if is_run(r) else "not begun") for s, r in runs]
    if as_json:
        told = {"run": str(folder), "recipe": recipe, "seeds": seeds, "summary": summary}
        print(json.dumps(told, indent=1))
        return
    unfinished = f"not all seeds are finished; continue with: sharpen resume {folder}"
    draw(
        sys.stdout,
        settings_lines({"run": str(folder), "recipe": recipe}),
        "",
        *(summary_parts(summary) if summary else [unfinished]),
        "",
        listing(["seed", "run", "state"], rows),
    )


# list ---------------------------------------------------------------------------------------------
def _recipes() -> list[dict[str, Any]]:
    from sharpen.recipes import RECIPES

    return [{"recipe": e.name, "arxiv": e.arxiv, "title": e.title} for e in RECIPES.values()]


def _strategies() -> list[dict[str, Any]]:
    from sharpen.strategies import STRATEGIES

    return [
        {
            "strategy": e.name,
            "kind": e.kind,
            "calls": e.calls,
            "needs": ", ".join(e.needs),
            "arxiv": e.source,
            "title": e.title,
        }
        for e in STRATEGIES.values()
    ]


def _tasks() -> list[dict[str, Any]]:
    from sharpen.tasks.registry import names

    return [{"task": name, "written": usage, "about": about} for name, usage, about in names()]


def _models() -> list[dict[str, Any]]:
    from sharpen.cli.plan import model_size
    from sharpen.models.names import PACKAGED, shipped

    about = dict.fromkeys(shipped(), "shipped")
    about |= {name: f"installed; {m.terms}" if m.installed else m.install for name, m in PACKAGED.items()}
    return [{"model": name, "parameters": model_size(name), "about": text} for name, text in about.items()]


def _games() -> list[dict[str, Any]]:
    from sharpen.tasks.games.registry import names

    return [{"game": name, "what it is": about, "options": options} for name, options, about in names()]


def _runs() -> list[dict[str, Any]]:
    from sharpen.runs.store import list_runs
    from sharpen.verbs.seeds import SUMMARY, read_plan

    out = []
    for e in list_runs(RUNS):
        state = e.problem or ("running" if e.live else f"after {e.last or 'nothing'}")
        out.append(
            {
                "run": e.folder.name,
                "recipe": e.header.get("recipe"),
                "seed": e.header.get("seed"),
                "state": state,
            }
        )
    for path in sorted(RUNS.glob("*/seeds.json")):
        recipe, seeds = read_plan(path.parent) or ("", [])
        state = "finished" if (path.parent / SUMMARY).exists() else "unfinished"
        out.append({"run": path.parent.name, "recipe": recipe, "seed": f"{len(seeds)} seeds", "state": state})
    return out


_LISTS = {
    "recipes": _recipes,
    "strategies": _strategies,
    "tasks": _tasks,
    "games": _games,
    "models": _models,
    "runs": _runs,
}


# compare ------------------------------------------------------------------------------------------
def _compare_exact(a: Path, b: Path, as_json: bool) -> int:
    from sharpen.runs.store import compare_exact

    found = compare_exact(a, b)
    if as_json:
        print(json.dumps({"equal": not found, "differences": found}, indent=1))
    else:
        print("\n".join(found) if found else "equal byte for byte (timing.jsonl and lock are not compared)")
    return 1 if found else 0


def _compare(folders: Sequence[Path], as_json: bool) -> int:
    from sharpen.studio.compare import last_row, pairs
    from sharpen.studio.table import pairs_table, side_by_side
    from sharpen.studio.table import show as draw

    rows = [last_row(f) for f in folders]
    names = [str(f) for f in folders]
    found = [p for f in folders[1:] for p in pairs(folders[0], f)]
    if as_json:
        print(json.dumps({"runs": dict(zip(names, rows, strict=True)), "pairs": found}, indent=1))
        return 0
    draw(sys.stdout, side_by_side(names, rows))
    told = (
        pairs_table(found)
        if found
        else "no paired differences: the runs did not answer the same held-out questions"
    )
    draw(sys.stdout, "", told)
    return 0
