"""Arguments of the verbs: argparse, with one line and the nearest name where something is wrong."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sharpen.errors import SharpenError, nearest, unknown

RUNS = Path("runs")
"""Where runs go, and where a bare name is looked for."""


class Parser(argparse.ArgumentParser):
    """Options and arguments in any order; errors are SharpenErrors."""

    def __init__(self, verb: str, about: str) -> None:
        super().__init__(f"sharpen {verb}", description=about, allow_abbrev=False, add_help=False)
        self.add_argument("-h", "--help", action="store_true", help="show this and stop")

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing and leaving."""
        raise SharpenError(f"{self.prog.removeprefix('sharpen ')}: {message.replace(', key=value', '')}")

    def read(self, argv: Sequence[str]) -> argparse.Namespace | None:
        """The arguments, or None when help was asked for and shown."""
        if "-h" in argv or "--help" in argv:
            self.print_help()
            return None
        args, extra = self.parse_known_intermixed_args(list(argv))
        if extra:
            options = [o for a in self._actions for o in a.option_strings if a.help != argparse.SUPPRESS]
            raise unknown("option", extra[0].split("=")[0], [o for o in options if o.startswith("--")])
        return args

    def settings(self) -> None:
        """The argument ``key=value ...``."""
        self.add_argument("settings", nargs="*", metavar="key=value", help="settings to change")

    def starting(self, recipe: str) -> None:
        """The options of every verb that begins a run, ``execution`` among them."""
        self.settings()
        self.add_argument("--config", metavar="FILE", help="a TOML file of settings")
        self.add_argument(
            "--out", metavar="DIR", type=Path, help=f"the run's folder (default: runs/{recipe}-n)"
        )
        self.add_argument("--seed", type=whole, default=0, metavar="N", help="the run's seed (default: 0)")
        self.add_argument("--seeds", type=count, default=1, metavar="N", help="run N seeds, from --seed on")
        self.add_argument(
            "--tiny", action="store_true", help="the same code path in seconds, to see that it works"
        )
        self.add_argument("--dry-run", action="store_true", help="say what would be run, and stop")
        self.add_argument(
            "--unsafe-local-exec",
            action="store_true",
            help="run a model's code where a fork bomb cannot be held",
        )
        self.execution()

    def code(self) -> None:
        """The option of every verb that may need code of one's own; ``main`` has allowed what it names."""
        self.add_argument(
            "--code", action="append", default=[], metavar="FILE", help="a Python file of your own that the "
            "settings name (recipe, tasks, verifier); no other is run",
        )  # fmt: skip

    def execution(self) -> None:
        """The options of every verb that runs a recipe."""
        self.add_argument(
            "--threads", type=count, metavar="N", help="threads a process (default: the cores free)"
        )
        self.code()
        self.add_argument(
            "--sink", action="append", default=[], metavar="NAME", help="also send the metrics to trackio, "
            "wandb (offline) or tensorboard; repeat it",
        )  # fmt: skip
        self.add_argument("--plain", action="store_true", help="plain lines instead of the live display")
        self.add_argument("--json", action="store_true", help="the result as JSON; progress goes to stderr")
        self.add_argument("--parent", type=int, help=argparse.SUPPRESS)  # of a seed's process


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def whole(text: str) -> int:
    """A whole number from 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def find_run(name: str) -> Path:
    """The folder of a run, or of one with several seeds, from a path or a bare name.

    Raises SharpenError naming the nearest run.
    """
    for folder in (Path(name), RUNS / name):
        if is_run(folder):
            return folder
    if Path(name).is_dir():
        raise SharpenError(f"no run in {name}: it has no manifest.jsonl")
    known = [p.name for p in RUNS.iterdir() if is_run(p)] if RUNS.is_dir() else []
    if not known:
        raise SharpenError(f"unknown run {name!r}: there are no runs in {RUNS}/ yet")
    near = nearest(Path(name).name, known)
    raise SharpenError(
        f"unknown run {name!r}: did you mean {str(RUNS / near)!r}?"
        if near
        else f"unknown run {name!r}: `sharpen list runs` names all {len(known)}"
    )


def is_run(folder: Path) -> bool:
    """Whether ``folder`` holds a run or a run with several seeds."""
    return (folder / "manifest.jsonl").is_file() or (folder / "seeds.json").is_file()


def free_folder(recipe: str) -> Path:
    """``runs/<recipe>-<n>`` with the first n from 1 that is not taken."""
    n = 1
    while (RUNS / f"{recipe}-{n}").exists():
        n += 1
    return RUNS / f"{recipe}-{n}"
