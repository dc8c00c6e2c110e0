"""What a user waits for before anything happens: ``--help``, listing, importing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import OURS, Side, environment, summary

COMMANDS = {
    "sharpen --help": ["-m", "sharpen", "--help"],
    "sharpen run --help": ["-m", "sharpen", "run", "--help"],
    "sharpen list recipes": ["-m", "sharpen", "list", "recipes"],
    "import sharpen": ["-c", "import sharpen"],
    "import sharpen.recipes": ["-c", "import sharpen.recipes"],
    "import sharpen.sample.native": ["-c", "import sharpen, sharpen.sample.native"],
    # transformers loads a name when it is asked for: this is what any model of it needs
    "import torch, transformers.LlamaForCausalLM": [
        "-c", "import torch; from transformers import LlamaForCausalLM",
    ],
    "python": ["-c", ""],
}  # fmt: skip
LIMITS = {"sharpen --help": 0.3}
"""Seconds that each may take."""


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Each command ``repeats`` times, in turns; one uncounted time first, so that files are in memory."""
    variables = environment(Side(OURS, Path(__file__)), threads)
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for k in range(repeats + 1):
        for name, words in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], env=variables, check=True, stdout=subprocess.DEVNULL)
            if k:
                found[name].append(round(time.perf_counter() - start, 4))
    for name, seconds in found.items():
        at = summary(seconds)
        print(f"startup: {name:<32} {at.median:.2f} s ({at.low:.2f} to {at.high:.2f})", flush=True)
    return {"commands": found, "limits": LIMITS}
