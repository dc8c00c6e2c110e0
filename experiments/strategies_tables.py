"""The tables of strategies at equal token budgets."""

from __future__ import annotations

from typing import Any

from regions import RESULTS, from_result, markdown

from sharpen.studio.strategies import Line

KINDS = ("strategies",)


def region(kind: str, base: str) -> str:
    """The body of the region KIND-BASE."""
    return from_result(RESULTS / f"{kind}-{base}.json", "python experiments/strategies.py", whole)


def whole(found: dict[str, Any]) -> str:
    """A table a family, and how it was made."""
    parts = [family(f) for f in found["families"]]
    return "\n\n".join(
        [*parts, f"`{found['made_by']}`, {found['date']}. 95 % intervals over seeds and questions."]
    )


def family(found: dict[str, Any]) -> str:
    """One family's table, best first; oracles last."""
    lines = [Line(**line) for line in found["strategies"]]
    first = lines[0].strategy
    lines.sort(key=lambda line: (line.oracle, -line.accuracy))
    rows = [
        [
            f"`{line.strategy}`{' (oracle)' if line.oracle else ''}",
            f"{100 * line.accuracy:.1f} ({100 * line.low:.1f} to {100 * line.high:.1f})",
            gain(line),
            f"{100 * line.coverage:.1f}",
            f"{100 * line.none_share:.1f}",
            f"{line.calls:.1f}",
            f"{line.tokens:,.0f}",
            f"{line.prompt_tokens:,.0f}",
            f"{line.evals:.1f}",
            "–" if line.batch_fill is None else f"{100 * line.batch_fill:.0f} %",
        ]
        for line in lines
    ]
    heads = ["strategy", "accuracy, %", f"against {first}", "any right, %", "no answer, %", "calls"]
    heads += ["tokens", "prompt tokens", "evals", "batch"]
    told = (
        f"{found['questions']:,} questions, {found['seeds']} seeds, at most {found['budget']:,} sampled "
        f"tokens a question, base {found['base'][:8]}. Batch: share of the engine's rows in use, where a "
        "strategy's own calls were sampled. One run (seed 0):"
    )
    return f"### `{found['tasks']}`\n{markdown(heads, rows)}\n\n{told}\n```text\n{found['command']}\n```"


def gain(line: Line) -> str:
    """The paired difference in points."""
    if line.gain is None or line.gain_low is None or line.gain_high is None:
        return ""
    return f"{100 * line.gain:+.1f} ({100 * line.gain_low:+.1f} to {100 * line.gain_high:+.1f})"
