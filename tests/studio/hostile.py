"""A run whose questions, answers, verdicts and names try to be more than text."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sharpen.runs.journal import Journal
from sharpen.score.table import episodes_to_table, verdicts_to_table
from sharpen.score.verdict import Status, Verdict
from tests.scored import episode

WORDS = [
    "</script><script>window.owned=1</script>",
    '<img src=x onerror="window.owned=1">',
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred",
    "safe \u202egnp.exe\u202c \u2066text\u2069",
    "<!--<script>",
    "&lt;b&gt; &amp; `${window.owned=1}` {{owned}}",
    "lone \ud800 surrogate",
    "javascript:window.owned=1",
]


def hostile_run(folder: Path) -> Path:
    """A finished run of two groups of four answers with hostile texts, tasks, details and scope."""
    header = {"recipe": "<img src=x onerror=window.owned=1>", "seed": 0, "code": "x", "numerics": {}}
    with Journal.create(folder, header, 'note = "</script><script>window.owned=1</script>"\n') as journal:
        _steps(journal)
    return folder


def _steps(journal: Journal) -> None:
    with journal.scope("round-0001"):
        step = journal.begin("sample", {"law": {}, "policy": "v0", "n": 4})
        made, verdicts = [], []
        for k, text in enumerate(WORDS):
            of = WORDS[k // 4][:40].encode("ascii", "replace").decode()
            held = episode(text.encode("utf-8", "replace").decode(), of=of, sample=k % 4, length=4)
            made.append(replace(held, key=f"{step.key}/{of}/{k % 4}"))
            detail = text.encode("utf-8", "replace").decode()
            verdicts.append(Verdict(float(k % 2), Status.OK, by="<b>by</b>", detail=detail))
        step.write_unit(0, episodes_to_table(made))
        step.finish({"samples": len(made), "tokens": 4 * len(made)})
        judge = journal.begin("score", {"groups": {"step": step.key}})
        judge.write_unit(0, verdicts_to_table([e.key for e in made], verdicts))
        row = {
            "name": "<script>window.owned=1</script>",
            "round": 1,
            "</script>_share": 0.5,
            "on": "<b>on</b>",
        }
        judge.finish({}, metrics=[row, {**row, "name": "score", "status_ok": float(np.float64(1.0))}])
