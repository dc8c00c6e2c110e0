"""Online bin packing by a program: the testbed of strategies that evolve programs.

A task asks for ``priority(item, rooms)``: items come one by one, and each goes into that of the bins with
room for it which gets the highest number. ``score`` runs a program on the task's instances; the verifier
``sharpen.score.packing:beats_best_fit`` on others, which no strategy sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.runs.streams import stream
from sharpen.score.sandbox import call_function, last_block
from sharpen.tasks.task import Task

CAPACITY, ITEMS, INSTANCES = 150, 60, 4
BEST_FIT = "def priority(item, rooms):\n    return [item - room for room in rooms]\n"
"""The strongest of the simple rules: the fullest bin that the item fits into."""
PROMPT = (
    f"Items come one by one and are packed into bins of capacity {CAPACITY}; as few bins as possible should "
    "be used. Their sizes are whole numbers from {low} to {high}, each as likely as the others.\n"
    "Write a Python function `def priority(item, rooms):`. It gets the size of the next item, and a list of "
    "the free space in every bin that has room for it; the last one is a new, empty bin. It returns a list "
    "of numbers, one for each: the item goes into the bin with the highest. Write only the function, in a "
    "block fenced by ```.\n"
)

_PACK = """

def sharpen_pack(sizes, capacity):
    rooms, placed = [], []
    for size in sizes:
        fits = [i for i, room in enumerate([*rooms, capacity]) if room >= size]
        marks = list(priority(size, [[*rooms, capacity][i] for i in fits]))
        k = fits[max(range(len(fits)), key=lambda j: marks[j])]
        rooms += [capacity] if k == len(rooms) else []
        rooms[k] -= size
        placed.append(k)
    return placed
"""


def tasks(n: int, seed: int = 0) -> list[Task]:
    """``n`` tasks with item sizes of different ranges. ``data``: ``instances`` to score programs on, and
    ``held_out`` to judge them, lists of item sizes."""
    made = []
    for i in range(n):
        rng = stream("packing", seed, i).generator()
        low = int(rng.integers(10, 50))
        high = int(rng.integers(low + 20, 100))
        drawn = rng.integers(low, high + 1, (2, INSTANCES, ITEMS)).tolist()
        prompt = PROMPT.replace("{low}", str(low)).replace("{high}", str(high))
        data = {"instances": drawn[0], "held_out": drawn[1]}
        made.append(Task(f"packing-{seed}-{i}", prompt, f"```python\n{BEST_FIT}```", data))
    return made


def score(code: str, instances: Sequence[Sequence[int]], *, unsafe: bool = False) -> tuple[float, str]:
    """Minus the bins that a program uses, as a multiple of the lower bound, mean over the instances: at most
    -1; and why it is ``-inf`` for a program that fails, is too slow, or packs what does not fit.

    The program says where items go; whether they fit is checked here.
    """
    calls = [[list(sizes), CAPACITY] for sizes in instances]
    ran, packed = call_function(
        code + _PACK, "sharpen_pack", calls, cpu_seconds=2, memory_mib=256, unsafe=unsafe
    )
    if len(packed) < len(instances):
        last = ran.stderr.strip().splitlines()
        return -math.inf, "too slow" if ran.how in ("cpu", "wall") else last[-1][:200] if last else ran.how
    used = [bins(placed, sizes) for placed, sizes in zip(packed, instances, strict=True)]
    if None in used:
        return -math.inf, "items were packed where they do not fit"
    least = [math.ceil(sum(sizes) / CAPACITY) for sizes in instances]
    return -sum(u / m for u, m in zip(used, least, strict=True) if u is not None) / len(used), ""


def bins(placed: Any, sizes: Sequence[int]) -> int | None:
    """How many bins a packing uses; None where it is none."""
    if not isinstance(placed, list) or len(placed) != len(sizes):
        return None
    full: dict[int, int] = {}
    for k, size in zip(placed, sizes, strict=True):
        if type(k) is not int:
            return None
        full[k] = full.get(k, 0) + size
    return None if any(load > CAPACITY for load in full.values()) else len(full)


def beats_best_fit(prompt: Any, completion: str, answer: str, data: Mapping[str, Any]) -> float:
    """1.0 where the program in a completion is at least as good as ``BEST_FIT`` on the held-out instances."""
    code = last_block(completion)
    if code is None:
        return 0.0
    return float(score(code, data["held_out"])[0] >= score(BEST_FIT, data["held_out"])[0])
