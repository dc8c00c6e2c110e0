"""Every task source is made to prove itself: ``OMP_NUM_THREADS=1 python experiments/check.py``.

What ``check-task`` does with all sources, kept in ``results/check-task.json`` with the command that made it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

from launch import today

from sharpen.cli.checking import CPU_SECONDS, FEWER_ITEMS, checked, every
from sharpen.cli.parsing import count

RESULT = Path(__file__).parent / "results" / "check-task.json"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=count, default=FEWER_ITEMS, help="items a split")
    parser.add_argument("--cpu", type=count, default=CPU_SECONDS, help="CPU seconds that a source may take")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these sources alone")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args(argv)
    given = [f" --{k} {vars(args)[k]}" for k in ("items", "cpu") if vars(args)[k] != parser.get_default(k)]
    found = {
        "command": "python experiments/check.py" + "".join(given),
        "date": today(),
        "version": importlib.metadata.version("reasoning-gym"),
        "items": args.items,
        "sources": checked(args.only or every(), args.items, args.cpu, told=True),
    }
    args.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(args.out)


if __name__ == "__main__":
    main()
