"""The command ``sharpen``: verbs over recipes and runs.

Nothing heavy is imported before the arguments are read, so ``--help`` and every error in them come at once.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from sharpen import __version__
from sharpen.errors import SharpenError, unknown

VERBS: dict[str, tuple[str, str]] = {
    "eval": ("evaluating", "strategies at inference time: accuracy beside its cost"),
    "run": ("running", "run a recipe: sharpen run RECIPE [key=value ...]"),
    "resume": ("running", "continue a run that was interrupted, or with more rounds"),
    "fork": ("running", "start a new run that shares the finished steps of another"),
    "show": ("reading", "what a run gained, its steps, and what was sampled in one"),
    "rollouts": ("rollouts", "what a run sampled: picked by an SQL expression, shown or exported"),
    "list": ("reading", "the recipes, tasks, models and runs there are"),
    "compare": ("reading", "two or more runs side by side; --exact compares bytes"),
    "check-task": ("checking", "whether a task source can be trusted: gold passes, attacks do not"),
    "report": ("looking", "runs as one HTML file that opens offline: curves, cost, rollouts"),
    "studio": ("looking", "the runs below a folder as a local page, live"),
    "replay": ("looking", "sample an attempt again: whether its bytes are those stored"),
    "audit": ("checking", "a second verifier judges a run's rollouts again and lists where it disagrees"),
    "calibrate": ("calibrating", "whether the confidences of a run's answers mean what they say"),
    "new": ("new", "a recipe, task family or verifier of your own: a skeleton that runs"),
    "explain": ("reading", "a recipe's settings with their defaults"),
}
"""Verb -> (module of this package that has a function of that name, what it does)."""

FINE, BAD_INPUT, INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 fine, 1 differs or failed, 2 bad input, 130 Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that cannot show a sign must not end a run
    try:
        return _main(argv)
    except SharpenError as e:
        print(f"sharpen: {' '.join(str(e).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("sharpen: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # who reads has enough; a later flush must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return FINE
    if argv[0] in ("--version", "-V"):
        print(f"sharpen {__version__}")
        return FINE
    verb, *rest = argv
    if verb.startswith("-"):
        raise unknown("option", verb, ["--help", "--version"])
    if verb not in VERBS:
        raise unknown("command", verb, VERBS)
    module = importlib.import_module(f"sharpen.cli.{VERBS[verb][0]}")
    from sharpen.runs import own

    own.allow_typed(rest)
    # names that Python has taken end in an underscore
    return getattr(module, f"{verb}_" if verb in ("list", "eval") else verb.replace("-", "_"))(rest)


def usage() -> str:
    """The text of ``sharpen --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {about}" for name, (_, about) in VERBS.items())
    return (
        "sharpen: reasoning language models that improve themselves, measured honestly\n\n"
        f"{verbs}\n\n"
        "`sharpen VERB --help` tells more, `sharpen run RECIPE --help` a recipe's settings.\n"
        "Begin with `sharpen list`."
    )
