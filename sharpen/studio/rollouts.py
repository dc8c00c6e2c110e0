"""A step's rollouts for eyes: what was asked, what came, what was said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from sharpen.runs.store import rollouts, unit_files
from sharpen.studio.words import clean, texts

SHOWN = ("key", "task_id", "sample", "prompt", "prefill", "text", "finish", "n_sampled")
VERDICT = ("score", "status", "correct", "by", "detail")


def first_rollouts(folder: Path, key: str, n: int) -> list[dict[str, Any]]:
    """The first ``n`` episodes of a step, as plain dicts; those that a scoring step judged for that one.

    Empty for a step that stores no rollouts.
    """
    files = unit_files(folder).get(key)
    if not files:
        return []
    import duckdb

    table = rollouts(folder)
    columns = [c for c in (*SHOWN, *VERDICT) if c in table.columns]
    held = duckdb.read_parquet([str(f) for f in files])
    own = held.project("key").limit(n).fetchall() if "key" in held.columns else []
    wanted = texts(k for (k,) in own)
    if not wanted:
        return []
    # by name, as the store gives no order
    rows = table.filter(f"key in ({wanted})").project(", ".join(f'"{c}"' for c in columns)).fetchall()
    found = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    return [found[k] for (k,) in own if k in found]


def rollout_parts(rollout: dict[str, Any]) -> list[Text]:
    """Lines for a terminal. The text is a model's: its lines are kept, anything worse is made visible."""
    verdict = {k: rollout.get(k) for k in VERDICT}
    if verdict["correct"] is None:
        mark, style = "not judged", "dim"
    elif verdict["status"] not in (None, "ok"):
        mark, style = str(verdict["status"]), "yellow"
    else:
        mark, style = ("right", "green") if verdict["correct"] else ("wrong", "red")
    head = Text(mark, style=style).append(f"  {clean(str(rollout['key']))}", style="dim")
    parts = [f"{rollout.get('n_sampled')} tokens", f"ended by {rollout.get('finish')}"]
    if verdict["score"] is not None:
        parts.append(f"score {verdict['score']:g} by {clean(str(verdict['by']))}")
    if verdict["detail"]:
        parts.append(clean(str(verdict["detail"]), 200))
    head.append(f"  {', '.join(parts)}", style="dim")
    out = [head]
    for name in ("prompt", "text"):
        if rollout.get(name):
            text = rollout[name] if name == "prompt" else (rollout.get("prefill") or "") + rollout[name]
            style = "dim" if name == "prompt" else ""
            out += [Text(f"  {clean(line)}", style=style) for line in text.split("\n")]
    return out
