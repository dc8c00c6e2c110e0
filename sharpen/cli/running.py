"""The verbs that run recipes: ``run``, ``resume``, ``fork``."""

from __future__ import annotations

import json
import sys
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen import recipes
from sharpen.cli.parsing import Parser, find_run, free_folder, is_run
from sharpen.cli.threads import limit
from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.runs.config import Config
    from sharpen.runs.manifest import Manifest
    from sharpen.verbs.progress import Progress


@dataclass(frozen=True)
class Job:
    """A recipe with its settings, and the folder that it runs in."""

    recipe: str
    config: Config
    folder: Path
    seed: int
    resume: bool = False
    accept_code: bool = False
    threads: int | None = None
    """Those that the run began with: bits depend on them, so a continued run keeps them."""


def run(argv: Sequence[str]) -> int:
    """``sharpen run RECIPE [key=value ...]``."""
    parser = Parser("run", "Run a recipe in a new folder. Settings: the defaults, then FILE, then key=value.")
    parser.add_argument("recipe", metavar="RECIPE", help="`sharpen list recipes` names them")
    parser.starting("RECIPE")
    args = parser.read(argv)
    if args is None:
        names = [a for a in argv if not a.startswith("-") and "=" not in a]
        if names:
            from sharpen.cli.reading import settings_of

            print()
            settings_of(names[0])
        return 0

    return start(args.recipe, args.settings, args)


def start(recipe: str, settings: Sequence[str], args: Namespace) -> int:
    """Begin the run, or the runs of several seeds, that the options of ``Parser.starting`` tell."""
    from sharpen.runs.config import load

    entry = recipes.recipe(recipe)
    _, cls = entry.load()
    told = ("unsafe_local_exec=true",) if args.unsafe_local_exec else ()
    config = load(cls, args.config, (*settings, *told), tiny=args.tiny)
    folder = args.out or free_folder(entry.function)
    if is_run(folder):
        raise SharpenError(f"there is a run in {folder} already: continue it with `sharpen resume {folder}`")
    job = Job(entry.name, config, folder, args.seed)
    if args.dry_run:
        from sharpen.cli.plan import show_plan

        show_plan(job.recipe, config, folder, range(args.seed, args.seed + args.seeds), as_json=args.json)
        return 0
    if args.seeds > 1:
        from sharpen.cli.many import run_seeds

        return run_seeds(job, range(args.seed, args.seed + args.seeds), args)
    return perform(job, args)


def resume(argv: Sequence[str]) -> int:
    """``sharpen resume RUN [key=value ...]``."""
    parser = Parser(
        "resume", "Continue a run. Finished steps answer from disk; one whose inputs changed is refused."
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.settings()
    parser.add_argument("--accept-code", action="store_true", help="continue although the code has changed")
    parser.add_argument("--config", metavar="FILE", help="settings from a TOML file instead of the run's own")
    parser.add_argument("--repair", action="store_true", help="cut a damaged manifest at the damage")
    parser.execution()
    args = parser.read(argv)
    if args is None:
        return 0
    folder = find_run(args.run)

    from sharpen.runs.config import read_toml
    from sharpen.verbs.seeds import read_plan

    if plan := read_plan(folder):
        from sharpen.cli.many import run_seeds

        recipe, seeds = plan
        config = _settings(recipe, read_toml(args.config or folder / "config.toml"), args.settings)
        return run_seeds(Job(recipe, config, folder, seeds[0], True, args.accept_code), seeds, args)

    from sharpen.runs.journal import Journal
    from sharpen.runs.manifest import read_manifest

    if args.repair:
        Journal.open(folder, environment={}, repair=True).close()
    manifest = read_manifest(folder)
    recipe, seed = str(manifest.header.get("recipe")), int(manifest.header.get("seed", 0))
    values = read_toml(args.config) if args.config else tomllib.loads(manifest.config)
    config = _settings(recipe, values, args.settings)
    return perform(Job(recipe, config, folder, seed, True, args.accept_code, threads_of(manifest)), args)


def fork(argv: Sequence[str]) -> int:
    """``sharpen fork RUN --at KEY [key=value ...]``."""
    parser = Parser(
        "fork", "Start a new run that shares the steps of RUN that finished before KEY, and run it."
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.settings()
    parser.add_argument("--at", required=True, metavar="KEY", help="the first step that is not shared")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the new run's folder (default: runs/RECIPE-n)"
    )
    parser.add_argument("--accept-code", action="store_true", help="continue although the code has changed")
    parser.execution()
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.runs import store

    source = find_run(args.run)
    manifest = store.read_manifest(source)
    recipe, seed = str(manifest.header.get("recipe")), int(manifest.header.get("seed", 0))
    config = _settings(recipe, tomllib.loads(manifest.config), args.settings)
    folder = args.out or free_folder(recipes.recipe(recipe).function)
    store.fork(source, folder, args.at, config_toml=config.to_toml())
    return perform(Job(recipe, config, folder, seed, True, args.accept_code, threads_of(manifest)), args)


def perform(job: Job, args: Namespace) -> int:
    """Run one job in this process: progress, then the table of what was gained."""
    from sharpen.runs.process import die_with_parent
    from sharpen.studio.live import watch
    from sharpen.studio.sinks import open_sinks
    from sharpen.studio.sinks.forward import forwarded

    sinks = open_sinks(args.sink)
    if args.parent:
        die_with_parent(args.parent)
    limit(args.threads or job.threads)
    out = sys.stderr if args.json else sys.stdout
    title = f"{job.recipe} · seed {job.seed} · {job.folder}"
    rounds = job.config.plan().get("rounds")
    try:
        with (
            watch(out, title, rounds=rounds, plain=args.plain or args.json) as shown,
            forwarded(shown, job.folder, sinks) as progress,
        ):
            summary = _execute(job, progress)
    except KeyboardInterrupt:
        return _stopped(job, "interrupted", 130)
    except SharpenError:
        raise
    except Exception:
        if not is_run(job.folder):
            raise
        import traceback

        traceback.print_exc()
        return _stopped(job, "failed", 1)
    _told(job, summary, args.json)
    return 0


def _execute(job: Job, progress: Progress) -> dict[str, Any]:
    # torch comes in here, after the thread count is set
    from sharpen.recipes.execute import execute
    from sharpen.runs.process import settle

    settle()
    return execute(
        job.recipe,
        job.config,
        job.folder,
        job.seed,
        resume=job.resume,
        accept_code=job.accept_code,
        progress=progress,
    )


def _stopped(job: Job, how: str, code: int) -> int:
    hint = f"continue with: sharpen resume {job.folder}" if is_run(job.folder) else "nothing was written"
    print(f"sharpen: {how}; {hint}", file=sys.stderr)
    return code


def threads_of(manifest: Manifest) -> int | None:
    """Those that a run was last made with, where it says so: bits depend on them."""
    for place in (*reversed(manifest.accepted), manifest.header):
        threads = (place.get("numerics") or {}).get("threads")
        if isinstance(threads, int):
            return threads
    return None


def _settings(recipe: str, values: dict[str, Any], settings: Sequence[str]) -> Config:
    from sharpen.runs.config import build

    _, cls = recipes.recipe(recipe).load()
    return build(cls, values, settings)


def _told(job: Job, summary: dict[str, Any], as_json: bool) -> None:
    from sharpen.runs.manifest import read_manifest
    from sharpen.studio.contests import outcome_parts
    from sharpen.studio.items import changes
    from sharpen.studio.strategies import read_strategies, strategies_parts
    from sharpen.studio.table import gains, settings_lines, show

    metrics = read_manifest(job.folder).metrics
    found = gains(metrics, changes(job.folder))
    weighed = read_strategies([job.folder])
    if as_json:
        told = {"run": str(job.folder), "recipe": job.recipe, "seed": job.seed, "summary": summary}
        shown = {"gains": [g.to_json() for g in found]}
        shown |= {"strategies": [line.to_json() for line in weighed]} if weighed else {}
        print(json.dumps({**told, **shown}, indent=1))
        return
    spent = {k.replace("_", " "): v for k, v in summary.items() if isinstance(v, int | float | str) and v}
    lines = {**spent, "run": str(job.folder), "next": f"sharpen show {job.folder}"}
    parts = strategies_parts(weighed) if weighed else outcome_parts(metrics, found)
    show(sys.stdout, "", *parts, "", settings_lines(lines))
