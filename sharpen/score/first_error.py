"""A model as judge of steps: the first wrong paragraph of a solution (Self-PRM, arXiv 2505.11227).

The form is ProcessBench's (arXiv 2412.06559): paragraphs are numbered from 0, and the judge ends with the
index of the earliest wrong one in a box, -1 where there is none. The wording of the prompt is ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NO_ERROR = -1

_BLANK = re.compile(r"\n[ \t]*\n")
# up to the first closing brace: content with a nested brace is no index
_BOX = re.compile(r"\\boxed\{([^}]*)\}")
_INDEX = re.compile(r"[+-]?[0-9]{1,9}")


def paragraphs(solution: str) -> list[str]:
    """The steps of a solution: its paragraphs, cut at blank lines, none of them empty."""
    return [p.strip() for p in _BLANK.split(solution) if p.strip()]


def tagged(steps: Sequence[str]) -> str:
    """Steps in numbered tags, from 0."""
    return "\n\n".join(f"<paragraph_{i}>\n{s}\n</paragraph_{i}>" for i, s in enumerate(steps))


def judge_prompt(problem: str, steps: Sequence[str], *, reference: str | None = None) -> str:
    """What the judge is asked. It holds the problem and one solution, no gold answer and no other sample.

    Args:
        reference: a solution by the judge itself, sampled independently of the one judged (Self-REF).
    """
    own = "" if reference is None else f"A reference solution, which may be wrong:\n{reference.strip()}\n\n"
    return (
        f"Problem:\n{problem.strip()}\n\n{own}Solution to judge:\n{tagged(steps)}\n\n"
        "Review the solution paragraph by paragraph. Give the index of the earliest paragraph that holds an "
        "error, counted from 0, or -1 if there is none, in \\boxed{}.\n"
    )


def boxed(text: str) -> str | None:
    r"""The content of a judgment's last ``\boxed{...}`` if it is a whole number, else None."""
    found = _BOX.findall(text)
    written = found[-1].strip() if found else ""
    return written if _INDEX.fullmatch(written) else None


def first_error(text: str) -> int | None:
    """The index that a judgment names, -1 for no error; None where it cannot be read. It may lie beyond the
    solution's last step: wrong for the F1, unread for selection."""
    written = boxed(text)
    return None if written is None else int(written)


def voted(written: Sequence[str | None]) -> int | None:
    """The most frequent of several judgments (see ``boxed``), compared as strings; of equally frequent ones
    the first seen. Those that could not be read have no vote; None where none could."""
    counts = Counter(w for w in written if w is not None)
    return int(counts.most_common(1)[0][0]) if counts else None


def first_rejected(accepted: Sequence[bool]) -> int:
    """The judgment of a step scorer: the first step that it does not accept, -1 where it accepts all."""
    return next((i for i, fine in enumerate(accepted) if not fine), NO_ERROR)


def step_score(index: int | None, steps: int) -> float:
    """A judgment as a score in [0, 1]: 1 for no error, else the share of steps before the first one.

    0 where the judgment could not be read or names no step, and for a solution without steps.
    """
    if index is None or not steps or not NO_ERROR <= index < steps:
        return 0.0
    return 1.0 if index == NO_ERROR else index / steps


def mean_step_score(indices: Sequence[int | None], steps: int) -> float:
    """The mean score of several judgments of one solution; 0 without one."""
    return sum(step_score(i, steps) for i in indices) / len(indices) if indices else 0.0
