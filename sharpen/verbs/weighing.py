"""The verb ``weigh``: a strategy's accuracy beside its cost, stored question by question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sharpen.measure.strategies import WEIGHED, strategy_items, strategy_metrics
from sharpen.score.group import Groups
from sharpen.strategies import Strategy
from sharpen.verbs.solving import Means, Solved

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


def weigh(run: Run, strategy: Strategy, solved: Solved, judged: Groups, means: Means) -> dict[str, Any]:
    """See ``Run.weigh``."""
    step = run.journal.begin(
        "weigh", {"answers": solved.groups.origin, "judged": judged.origin}, name=WEIGHED
    )
    if step.result is None:
        items = strategy_items(solved.rows, judged)
        step.write_unit(0, pa.table({**items, "confidence": pa.array(items["confidence"], pa.float64()),
                                     "began": pa.array(items["began"], pa.float64())}))  # fmt: skip
        row = {
            "name": WEIGHED,
            "strategy": strategy.name,
            "oracle": strategy.entry.oracle,
            **strategy_metrics(items, solved.result),
            "calls_before": means.brought.calls if means.brought else 0,
            "tokens_before": means.brought.tokens if means.brought else 0,
        }
        step.finish(row, metrics=[row])
        run.progress.metrics(row)
    assert step.result is not None
    return step.result
