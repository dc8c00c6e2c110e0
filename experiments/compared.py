"""What the tables of arms and seeds have in common: whose runs, differences with intervals, regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import regions
from numpy.typing import NDArray
from regions import Row, from_result

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.runs.streams import stream

Values = NDArray[np.float64]
Interval = tuple[float, float, float]
"""A mean and its 95 % interval."""
Kinds = Mapping[str, Callable[[Row], str]]


def of(found: Row, arm: str) -> list[Row]:
    """An arm's runs, by seed."""
    return [run for run in found["runs"] if run["arm"] == arm]


def names(found: Row) -> list[str]:
    """The arms that were run, in order."""
    return list(dict.fromkeys(run["arm"] for run in found["runs"]))


def difference(study: str, values: Values, name: str) -> Interval:
    """The mean of differences ``(seeds, questions)`` with its 95 % interval over both; ``name`` names the
    draws."""
    return hierarchical_bootstrap(values, stream=stream(study, name), n=2000)


def crossed(
    study: str,
    statistic: Callable[[NDArray[np.int64], NDArray[np.int64]], float | None],
    shape: tuple[int, int],
    name: str,
    *,
    draws: int = 1000,
) -> Interval | None:
    """A number of seeds and items, given by their indices, with its 95 % interval: both are drawn with
    replacement, items once for all seeds. None where the number is undefined for all of them; draws for which
    it is undefined are left out."""
    seeds, items = shape
    value = statistic(np.arange(seeds), np.arange(items))
    if value is None:
        return None
    rng = stream(study, "crossed", name).generator()
    found = [
        statistic(rng.integers(seeds, size=seeds), rng.integers(items, size=items)) for _ in range(draws)
    ]
    low, high = np.quantile([v for v in found if v is not None], [0.025, 0.975])
    return value, float(low), float(high)


def span(found: Interval) -> str:
    """An interval of shares, in points (or percent)."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in found))


def sure(found: Interval) -> str:
    """Which side of 0 an interval lies on."""
    return "above 0" if found[1] > 0 else "below 0" if found[2] < 0 else "the interval holds 0"


def mean(values: Sequence[float], form: str = ".1f", scale: float = 100) -> str:
    """A mean in percent for a table, ``-`` of nothing."""
    return format(scale * float(np.mean(values)), form) if len(values) else "-"


def dated(found: Row) -> str:
    """The date of a result; where its runs are of several versions of the package, which made which arm."""
    made: dict[str, list[str]] = {}
    for run in found["runs"]:
        arms = made.setdefault(run["code"][:8], [])
        arms += [run["arm"]] * (run["arm"] not in arms)
    told = "; ".join(f"{code} made {' · '.join(arms)}" for code, arms in made.items())
    return f"{found['date']}" + (f" (versions of the package: {told})" if len(made) > 1 else "")


def by_base(study: str, kinds: Kinds, kind: str, base: str) -> str:
    """The body of a region that a study's result on a base fills."""
    path = regions.RESULTS / f"{study}-{base}.json"
    return from_result(path, f"python experiments/{study}.py --base {base}", kinds[kind])
