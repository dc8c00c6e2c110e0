"""The verbs that show runs on a page, ``report`` and ``studio``, and ``replay``: an attempt sampled again."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sharpen.cli.parsing import RUNS, Parser, count, find_run, whole
from sharpen.cli.threads import limit
from sharpen.errors import SharpenError

ROLLOUTS = 200
PORT = 8765


def report(argv: Sequence[str]) -> int:
    """``sharpen report RUN ...``."""
    parser = Parser("report", "Runs as one HTML file that opens offline: curves, cost, warnings, rollouts.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="runs, or folders of several seeds")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the file (default: runs/NAME.html)")
    parser.add_argument(
        "--rollouts", type=whole, default=ROLLOUTS, metavar="N",
        help=f"rollouts of each run that it holds, in whole groups (default: {ROLLOUTS})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0
    if not args.runs:
        raise SharpenError("report: name one run or more")
    folders = list(dict.fromkeys(find_run(r) for r in args.runs))
    first = folders[0].resolve()
    out = (
        args.out
        or Path(RUNS if RUNS.is_dir() else ".") / f"{'-'.join(f.resolve().name for f in folders)[:80]}.html"
    )
    if out.suffix.lower() not in (".html", ".htm"):
        raise SharpenError(f"--out {out}: only .html is written")
    if out.resolve().is_relative_to(first):
        raise SharpenError(f"--out {out}: a run's folder holds nothing but the run")

    from sharpen.studio.report import write_report

    told = write_report(folders, out, args.rollouts)
    if args.json:
        print(json.dumps(told, indent=1))
        return 0

    from sharpen.studio.table import settings_lines, show
    from sharpen.studio.words import size

    of = told["rollouts_of"]
    shown = f"{told['rollouts']:,} of {of:,}" if of != told["rollouts"] else f"all {of:,}"
    lines = {
        "report": told["file"],
        "size": size(told["bytes"]),
        "runs": len(told["runs"]),
        "rollouts": shown,
    }
    show(sys.stdout, settings_lines(lines))
    return 0


def studio(argv: Sequence[str]) -> int:
    """``sharpen studio [FOLDER]``; until Ctrl-C."""
    parser = Parser(
        "studio", "The runs below a folder as a local page, live. It reads runs and writes nothing."
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", default=str(RUNS), help=f"default: {RUNS}")
    parser.add_argument(
        "--port",
        type=whole,
        default=PORT,
        metavar="N",
        help=f"on loopback (default: {PORT}; 0: any free one)",
    )
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.studio.server import serve

    def told(address: str) -> None:
        print(
            f"studio  {address}\n        for you alone: the address holds a token; Ctrl-C ends it", flush=True
        )
        if not args.no_open:
            import webbrowser

            webbrowser.open(address)

    serve(Path(args.folder), args.port, told)
    return 0


def replay(argv: Sequence[str]) -> int:
    """``sharpen replay RUN KEY``; 1 where the bytes differ."""
    parser = Parser(
        "replay", "Sample an attempt again from the stored policy, law and stream, and compare every bit."
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.add_argument("key", metavar="KEY", help="the attempt's key, such as round-0001/sample:0/TASK/0")
    parser.add_argument("--threads", type=count, metavar="N", help="threads (default: those of the run)")
    parser.code()
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.cli.running import threads_of
    from sharpen.runs.manifest import read_manifest

    folder = find_run(args.run)
    if not (folder / "manifest.jsonl").is_file():
        raise SharpenError(f"{folder} holds several seeds: replay an attempt of one, such as {folder}/seed-0")
    # bits depend on it
    limit(args.threads or threads_of(read_manifest(folder)))

    from sharpen.verbs.replaying import replay as sample_again

    found = sample_again(folder, args.key)
    if args.json:
        print(json.dumps(found, indent=1))
        return int(not found["equal"])

    from sharpen.studio.table import settings_lines, show

    equal = "yes: tokens, log-probabilities, entropies and certainties, every bit"
    told = {
        "attempt": found["key"],
        "policy": ", ".join(v[:8] for v in found["policies"]),
        "tokens": found["tokens"],
        "equal": equal if found["equal"] else f"no: {found['difference']}",
        **({"note": found["note"]} if found["note"] else {}),
    }
    show(sys.stdout, settings_lines(told))
    return int(not found["equal"])
