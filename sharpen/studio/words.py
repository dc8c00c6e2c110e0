"""Numbers and untrusted text made fit for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")

_BARS = "▁▂▃▄▅▆▇█"


def clean(text: str, width: int | None = None) -> str:
    """``text`` on one line without anything a terminal could obey: controls become ``\\x1b``-like escapes.

    Line breaks become ``⏎``. The result is at most ``width`` characters where that is given. It may still
    hold rich markup: print it as ``rich.text.Text``, never as a markup string.
    """
    out = []
    # every character gives at least one, so what lies behind the cut need not be read
    for c in text if width is None else text[: width + 1]:
        if c == "\n":
            out.append("⏎")
        elif c == "\t":
            out.append(" ")
        elif not c.isprintable():  # controls, escape sequences, invisible and text-turning signs, odd breaks
            out.append(c.encode("unicode_escape").decode() if ord(c) > 0xFF else f"\\x{ord(c):02x}")
        else:
            out.append(c)
    line = "".join(out)
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


def percent(share: float | None) -> str:
    """``0.3125`` as ``31.2 %``, None as ``-``."""
    return "-" if share is None else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """``(27.1 to 35.5)`` in percent, ``""`` where an end is missing."""
    if low is None or high is None:
        return ""
    form = "+.1f" if sign else ".1f"
    return f"({100 * low:{form}} to {100 * high:{form}})"


def points(change: float | None) -> str:
    """A change of a share as ``+17.9``: percentage points."""
    return "-" if change is None else f"{100 * change:+.1f}"


def duration(seconds: float) -> str:
    """``9.04`` as ``9.0 s``, anything longer as ``clock_time`` does."""
    return f"{max(seconds, 0):.1f} s" if seconds < 10 else clock_time(seconds)


def clock_time(seconds: float) -> str:
    """``95`` as ``1:35``, ``3725`` as ``1:02:05``."""
    minutes, s = divmod(int(max(seconds, 0)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def size(n: float) -> str:
    """Bytes as ``1.4 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def number(value: Any) -> str:
    """Any JSON value: thousands apart, four digits of a fraction."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return clean(str(value))


def spark(values: Iterable[float | None]) -> str:
    """A bar a value, the lowest value lowest; a gap where there is none."""
    values = list(values)
    known = [v for v in values if v is not None]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(" " if v is None else _BARS[round((v - low) / span * (len(_BARS) - 1))] for v in values)


class Cell(NamedTuple):
    """One measure of a metrics row; ``low`` and ``high`` are its interval where there is one."""

    value: float
    low: float | None
    high: float | None
    share: bool

    def __str__(self) -> str:
        if not self.share:
            return number(self.value)
        return f"{percent(self.value)} {interval(self.low, self.high)}".rstrip()


HEADLINE = ("accuracy_greedy", "accuracy_t1")
LABELS = {"accuracy_greedy": "greedy", "accuracy_t1": "T=1"}
_SHARES = ("accuracy", "pass_at_", "best_of_", "reward_at_", "distinct_", "status_", "majority", "share_")
_NOT_MEASURES = ("key", "round", "name")


def cells(row: Mapping[str, Any]) -> dict[str, Cell]:
    """The numeric measures of a metrics row, headline ones first, then in the order written.

    ``x_low`` and ``x_high`` become the interval of ``x``. What is a share (an accuracy, ``pass_at_k``, a
    ``*_share`` or ``*_rate``) is told by its name.
    """
    names = [k for k, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool)]
    names = [n for n in names if n not in _NOT_MEASURES]
    ends = {f"{n}{end}" for n in names for end in ("_low", "_high")}
    rest = [n for n in names if n not in ends and n not in HEADLINE]
    first = [n for n in HEADLINE if n in names]
    return {
        n: Cell(
            float(row[n]) if is_share(n) else row[n], row.get(f"{n}_low"), row.get(f"{n}_high"), is_share(n)
        )
        for n in [*first, *rest]
    }


def is_share(name: str) -> bool:
    """Whether a measure of this name lies between 0 and 1 and is shown in percent."""
    return name.startswith(_SHARES) or name.endswith(("_share", "_rate", "_accuracy"))


def label(name: str) -> str:
    """A measure's short name."""
    if name.startswith("pass_at_"):
        return "pass@" + name.removeprefix("pass_at_").replace("_", "-")
    return LABELS.get(name, name.replace("_", " "))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, at least 2, evenly spread; the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def texts(values: Iterable[object]) -> str:
    """These as SQL texts, with commas between."""
    return ", ".join("'" + str(v).replace("'", "''") + "'" for v in values)
