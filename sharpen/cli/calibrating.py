"""The verb ``calibrate``: whether a run's confidences mean what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sharpen.cli.parsing import Parser, find_run
from sharpen.errors import unknown

MODES = ("percent", "probability")


def calibrate(argv: Sequence[str]) -> int:
    """``sharpen calibrate RUN``."""
    parser = Parser("calibrate", "How far the confidences of a run's answers can be believed.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.add_argument("--step", metavar="KEY", help="the step sampled or judged (default: the last judged)")
    parser.add_argument(
        "--signal", action="append", default=[], metavar="NAME",
        help="one of stated, 'vote share', strategy, self-certainty, log-probability, entropy; repeat it",
    )  # fmt: skip
    parser.add_argument(
        "--mode", default=MODES[0], metavar="MODE",
        help="what was asked for in words: percent (default) or probability",
    )  # fmt: skip
    parser.add_argument(
        "--forced", metavar="KEY", help="a step in which the same questions had to be answered: how many of "
        "the declined ones are then wrong",
    )  # fmt: skip
    parser.add_argument("--figure", metavar="FILE", help="write the diagrams to FILE.svg")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0
    if args.mode not in MODES:
        raise unknown("mode", args.mode, MODES)

    from sharpen.studio.calibrate import calibrate_run

    found = calibrate_run(
        find_run(args.run), step=args.step, signals=args.signal, mode=args.mode, forced=args.forced
    )
    if args.figure:
        from sharpen.studio.calibration_figure import write_figure

        write_figure(found, Path(args.figure))
    if args.json:
        print(json.dumps(found, indent=1))
        return 0

    from sharpen.studio.calibration_table import calibration_parts
    from sharpen.studio.table import show

    show(sys.stdout, *calibration_parts(found))
    if args.figure:
        print(f"\ndiagrams in {args.figure}")
    return 0
