"""The verb ``eval``: strategies at inference time, with their cost. It runs the recipe ``evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sharpen.cli.parsing import Parser, count, free_folder
from sharpen.errors import SharpenError


def eval_(argv: Sequence[str]) -> int:
    """``sharpen eval MODEL --tasks T --strategy S``."""
    parser = Parser(
        "eval",
        "Answer questions by strategies: accuracy with intervals, beside calls, tokens and seconds.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model's name or folder")
    parser.add_argument("--tasks", required=True, metavar="T", help="where the questions come from")
    parser.add_argument(
        "--strategy", action="append", default=[], metavar="S",
        help="NAME or NAME:key=value,...; repeat it for more (`sharpen list strategies`)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", default="", metavar="S1,S2,...",
        help="several strategies, on the same questions and samples",
    )  # fmt: skip
    parser.add_argument("-n", type=count, metavar="N", help="questions (default: 200)")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="accuracy against tokens as FILE.svg")
    parser.starting("evaluate")
    args = parser.read(argv)
    if args is None:
        return 0
    if "=" in args.model:
        raise SharpenError(f"eval: name the model before settings like {args.model!r}")

    from sharpen.cli.running import start

    chosen = [*args.strategy, *listed(args.compare)]
    told = [f"model={args.model}", f"tasks={args.tasks}"]
    told += [f"strategies={json.dumps(chosen)}"] if chosen else []
    told += [f"questions={args.n}"] if args.n else []
    if args.figure is None:
        return start("evaluate", [*told, *args.settings], args)

    from sharpen.studio.figures import check_svg

    path = check_svg(args.figure)
    args.out = args.out or free_folder("evaluate")
    code = start("evaluate", [*told, *args.settings], args)
    if code == 0 and not args.dry_run:
        draw(args.out, path)
        print(f"figure  {path}", file=sys.stderr if args.json else sys.stdout)
    return code


def draw(folder: Path, path: Path) -> None:
    """The figure of a run, or of one with several seeds."""
    from sharpen.studio.strategies import read_strategies
    from sharpen.studio.strategies_figure import write_figure
    from sharpen.verbs.seeds import read_plan, seed_folder

    plan = read_plan(folder)
    write_figure(read_strategies([seed_folder(folder, s) for s in plan[1]] if plan else [folder]), path)


def listed(text: str) -> list[str]:
    """Strategies separated by commas; what holds a ``=`` but no ``:`` goes on with the one before."""
    found: list[str] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if found and "=" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found
