"""The verb ``rollouts``: what a run sampled, chosen by an SQL expression, read or written for others."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.cli.parsing import Parser, find_run, is_run, whole
from sharpen.errors import SharpenError, unknown

if TYPE_CHECKING:
    from sharpen.studio.where import Found


def rollouts(argv: Sequence[str]) -> int:
    """``sharpen rollouts RUN``."""
    parser = Parser("rollouts", "What a run sampled, with its verdicts: all, or what an expression picks.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.add_argument(
        "--where", default="", metavar="SQL", help="an SQL expression over the columns, such as "
        "\"not correct and n_sampled > 20\"; --columns names them",
    )  # fmt: skip
    parser.add_argument("--show", type=whole, default=5, metavar="N", help="rollouts shown (default: 5)")
    parser.add_argument("--columns", action="store_true", help="name the columns, and stop")
    parser.add_argument("--tokens", action="store_true", help="also the columns with a number a token")
    parser.add_argument("--export", metavar="KIND", help="write all of them: parquet, jsonl or hf")
    parser.add_argument("--to", metavar="PATH", type=Path, help="where --export writes")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.studio.exports import KINDS, export
    from sharpen.studio.where import query

    if args.export and args.export not in KINDS:
        raise unknown("kind of export", args.export, KINDS)
    if bool(args.export) != bool(args.to):
        raise SharpenError("rollouts: --export KIND and --to PATH go together")
    folder = find_run(args.run)
    runs = _runs(folder)
    if args.columns:
        return _columns(query(runs), args)
    if args.export:
        found = export(runs, args.where, args.export, args.to, tokens=args.tokens)
        return _exported(found, args)
    found = query(runs, args.where)
    if args.json:
        head = {"run": str(folder), "where": args.where, "total": found.total, "counts": found.counts}
        print(json.dumps({**head, "rollouts": found.rows(args.show, tokens=args.tokens)}, indent=1))
        return 0
    _show(found, args)
    return 0


def _runs(folder: Path) -> Mapping[int, Path]:
    """The run, or those of its seeds that have begun."""
    from sharpen.verbs.seeds import read_plan, seed_folder

    plan = read_plan(folder)
    if plan is None:
        return {0: folder}
    runs = {seed: seed_folder(folder, seed) for seed in plan[1] if is_run(seed_folder(folder, seed))}
    if not runs:
        raise SharpenError(f"{folder}: no seed has begun; continue with: sharpen resume {folder}")
    return runs


def _columns(found: Found, args: Namespace) -> int:
    from sharpen.studio.table import listing, show

    kinds = dict(zip(found.relation.columns, map(str, found.relation.types), strict=True))
    light = found.columns()
    if args.json:
        print(json.dumps({"columns": kinds, "tokens": [c for c in kinds if c not in light]}, indent=1))
        return 0
    rows = [(c, kind.lower(), "" if c in light else "with --tokens") for c, kind in kinds.items()]
    show(sys.stdout, listing(["column", "type", ""], rows))
    return 0


def _exported(found: Found, args: Namespace) -> int:
    if args.json:
        told = {"total": found.total, "counts": found.counts, "export": args.export, "to": str(args.to)}
        print(json.dumps(told, indent=1))
    else:
        print(f"{_head(found)}\nwritten to {args.to}")
    return 0


def _show(found: Found, args: Namespace) -> None:
    from rich.text import Text

    from sharpen.studio.rollouts import rollout_parts
    from sharpen.studio.table import show
    from sharpen.studio.where import SEED

    shown = found.rows(args.show)
    show(sys.stdout, Text(_head(found), style="bold"))
    for rollout in shown:
        seed = f"seed {rollout[SEED]} " if SEED in rollout else ""
        show(sys.stdout, "", *rollout_parts({**rollout, "key": f"{seed}{rollout['key']}"}))
    if len(shown) < sum(found.counts.values()):
        show(sys.stdout, Text(f"\n{len(shown):,} shown: --show N shows more", style="dim"))


def _head(found: Found) -> str:
    """``61 of 260 rollouts: 40 right, 21 wrong``."""
    n = sum(found.counts.values())
    of = f"{n:,} of {found.total:,}" if n != found.total else f"{n:,}"
    told = ", ".join(f"{count:,} {mark}" for mark, count in found.counts.items())
    return f"{of} rollouts{': ' if told else ''}{told}"
