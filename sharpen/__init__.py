"""Sharpen: reasoning language models that improve themselves, measured honestly.

Importing this package is cheap: nothing here pulls in torch. It only pins the
numerics of MKL, which must happen before torch is first imported (see
``sharpen.sample.exact``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpen.studio.strategies import Line

__version__ = "0.1.0"

# MKL's reproducible code path: the bits of a row of a matrix product then do
# not depend on how many rows share it. It has no effect once MKL has run, so
# it is set here, and the engine probes at start whether it took hold.
if "torch" not in sys.modules:
    os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def evaluate(
    model: str,
    tasks: str,
    strategies: Sequence[str],
    *,
    out: Path | str,
    settings: Sequence[str] = (),
    seed: int = 0,
) -> list[Line]:
    """What ``sharpen eval`` does: answer questions by strategies, and what each achieved and cost.

    Args:
        model: a model's name or folder.
        tasks: where the questions come from, as ``countdown:level=2``.
        strategies: each ``NAME`` or ``NAME:key=value,...`` (``sharpen list strategies``).
        out: the run's folder; a run that is there already is continued.
        settings: further ones, ``key=value`` (``sharpen explain evaluate``).
        seed: names the samples.

    Raises:
        SharpenError: what is asked cannot be done, in one line.
    """
    import json

    from sharpen.recipes.evaluate import Settings
    from sharpen.recipes.execute import execute
    from sharpen.runs.config import load
    from sharpen.studio.strategies import read_strategies

    told = (f"model={model}", f"tasks={tasks}", f"strategies={json.dumps(list(strategies))}")
    config = load(Settings, overrides=(*told, *settings))
    execute("evaluate", config, out, seed, resume=(Path(out) / "manifest.jsonl").is_file())
    return read_strategies([Path(out)])
