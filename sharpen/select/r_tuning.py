"""R-Tuning: what was wrong is learnt as "I don't know" (arXiv 2311.09677, as used by arXiv 2410.07627)."""

from __future__ import annotations

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Groups
from sharpen.score.refusal import Refusals, unanswered
from sharpen.score.verdict import Status
from sharpen.select.selection import Selected, Selection


def refusing(text: str, sentence: str, *, cut: bool = False) -> str:
    """A response that refuses in place of its final answer: its reasoning, then ``sentence`` as a line.

    ``cut``: the length limit ended it, so its last line is not whole and goes too.
    """
    kept = unanswered(text)
    if cut:
        kept = kept[: kept.rfind("\n") + 1]
    kept = kept.rstrip()
    return f"{kept}\n{sentence}" if kept else sentence


def r_tuned(groups: Groups, sentence: str, refusals: Refusals, *, prefill: str = "") -> Selection:
    """Every sample of known verdict: right answers and refusals as they are, wrong ones ``refusing``.

    Args:
        groups: judged by a ``MayRefuse``.
        sentence: what is said instead of a wrong answer.
        prefill: what every response was given as its start, and will be.

    Returns:
        The selection, in the samples' order. A rewritten text was not sampled, so it stands as worked
        solutions do: in the ledger the sample is ``wrong`` and its rewriting is put in as ``gold``.

    Raises:
        SharpenError: ``sentence`` is no refusal.
    """
    if not refusals.said(sentence):
        raise SharpenError(f"R-Tuning: {sentence!r} holds none of the phrases that refuse")
    items: list[Selected] = []
    sampled = unknown = wrong = 0
    for g, row in enumerate(groups.columns):
        sampled += len(row)
        for k, (text, verdict) in enumerate(zip(row.texts, row.judged, strict=True)):
            if verdict.status.unknown:
                unknown += 1
            elif verdict.correct or verdict.status is Status.REFUSED:
                items.append(Selected(row.task, text, verdict.score, verdict.correct, g, k, groups))
            else:
                wrong += 1
                own = text.removeprefix(prefill)
                said = refusing(own, sentence, cut=row.finish[k] is Finish.LENGTH)
                items.append(Selected(row.task, said, 0.0, False))
    ledger = {"sampled": sampled, "gold": wrong, "unknown": unknown, "wrong": wrong, "kept": len(items)}
    spec = {"rule": "r_tuned", "sentence": sentence, "phrases": list(refusals.phrases)}
    return Selection(tuple(items), spec, None, ledger)
