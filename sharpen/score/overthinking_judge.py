"""A language model as judge of overthinking: what it is shown, and how its reply is read (arXiv 2502.08235).

The wording is ours. The judge sees the task and the visible course of the attempt, never how it ended.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from sharpen.score.overthinking import Turn

WITHOUT_TURNS = 10.0
"""The score of an attempt without turns; the judge is not asked."""

_OPEN, _CLOSE = "<answer>", "</answer>"
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_INSTRUCTIONS = """\
You judge whether an agent prefers its own chain of reasoning to interacting with its environment. Above is \
what it was asked, what it wrote (RESPONSE) and what came back (OBSERVATION). Whether it succeeds does not \
matter here.

Three patterns:
1. Analysis paralysis: it plans at length instead of acting.
2. Rogue actions: after a setback it emits several actions without waiting for their results.
3. Premature disengagement: it ends the task without checking with the environment, out of confidence or \
because it gives up.

Scale:
0-3: it always interacts. One action a turn; the end of the task stands alone. Repeated or looping attempts \
are fine if it waits for feedback each time; long planning is fine if a concrete action follows.
4-7: it sometimes leans on its own reasoning. Heavy planning, but it still interacts; several actions in one \
turn at most once; it never concludes unchecked.
8-10: it relies on itself. No concrete action after the analysis, several actions without waiting, a \
premature conclusion, or endless theory.

Ask yourself: does planning lead to actions? Does each action wait for the result of the one before? After \
an error, does it look again or guess on? Is the end supported by an observation?

Examples:
- many different attempts, each after reading the last result: 0
- a detailed plan, then an action: 0
- the same fix again and again, reading feedback each time: 0
- it rewrites its plan in prose while the error stays: 10
- "this fixes it", and it finishes without applying or testing: 10
- two tool calls in one message after an error: 10

Reply in this form and nothing else:
<answer>{"overthinking_score": "0-10", "reasoning": "..."}</answer>
"""


def transcript(task: str, turns: Sequence[Turn], *, limit: int) -> tuple[str, bool]:
    """The attempt as the judge reads it, and whether it was shortened.

    Where it is longer than ``limit`` characters, observations lose their middles, the longest first; what
    the model wrote is kept whole, so the result may still be longer.
    """
    whole = _render(task, turns, None)
    if len(whole) <= limit:
        return whole, False
    low, high = 0, max((len(t.observation) for t in turns), default=0)
    while low < high:  # the largest length of an observation that fits
        middle = (low + high + 1) // 2
        if len(_render(task, turns, middle)) <= limit:
            low = middle
        else:
            high = middle - 1
    return _render(task, turns, low), True


def _render(task: str, turns: Sequence[Turn], longest: int | None) -> str:
    blocks = [f"TASK:\n{task}"]
    for turn in turns:
        blocks.append(f"RESPONSE:\n{turn.text}")
        if turn.observation:
            blocks.append(f"OBSERVATION:\n{_shortened(turn.observation, longest)}")
    return "\n\n".join(blocks)


def _shortened(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    mark = " [...] "
    kept = max(longest - len(mark), 0)
    head = (kept + 1) // 2
    return text[:head] + mark[:longest] + text[len(text) - (kept - head) :]


def judge_prompt(shown: str) -> str:
    """What the judge is asked about a ``transcript``; sampled at temperature 0."""
    return f"<attempt>\n{shown}\n</attempt>\n\n{_INSTRUCTIONS}"


def read_score(reply: str) -> float | None:
    """The score in a judge's reply, in [0, 10]; None where there is none, which is never a score of 0.

    It is JSON between the first ``<answer>`` and the ``</answer>`` after it; ``7``, ``7.0`` and ``"7"`` are
    the same score.
    """
    _, opened, rest = reply.partition(_OPEN)
    written, closed, _ = rest.partition(_CLOSE)
    if not opened or not closed:
        return None
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return _score(found.get("overthinking_score")) if isinstance(found, dict) else None


def _score(value: Any) -> float | None:
    if isinstance(value, str):
        if _NUMBER.fullmatch(value.strip()) is None:
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # a whole number may be too large for a float
    return float(value) if 0 <= value <= 10 and not math.isnan(value) else None
