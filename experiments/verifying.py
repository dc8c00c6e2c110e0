"""The tables of the verifiers' page."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from regions import RESULTS, ROOT, from_result, markdown

from sharpen.cli.checking import verdict_of, why

WORDS = {None: "unknown", 0: "wrong", 1: "right"}


def disagreements() -> str:
    """Where our maths verdicts differ from Math-Verify's, and why."""
    sys.path.insert(0, str(ROOT))
    from tests.maths_cases import DISAGREE

    rows = [[f"`{gold}`", f"`{a}`", "right" if right else "wrong", why] for gold, a, right, why in DISAGREE]
    return markdown(["gold", "answer", "here", "why"], rows, left=4)


def checks() -> str:
    """Every task source and whether it can be trusted."""
    return from_result(RESULTS / "check-task.json", "python experiments/check.py", checks_of)


def checks_of(found: dict[str, Any]) -> str:
    """See ``checks``: own families, and what is not fine, with its reason; then the names of what is."""
    rows, fine = [], []
    counts = Counter(verdict_of(row) for row in found["sources"])
    for row in found["sources"]:
        name = row["source"].removeprefix("reasoning_gym:")
        if verdict_of(row) == "fine" and name != row["source"]:
            fine.append(f"`{name}`")
        else:
            told = [f"`{row['source']}`", f"{row['items']:,}", f"{row['judged']:,}"]
            rows.append([*told, verdict_of(row), cell(why(row))])
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    judged = sum(row["judged"] for row in found["sources"])
    made = f"`{found['command']}`, reasoning-gym {found['version']}, {found['date']}"
    return (
        f"{markdown(['source', 'items', 'answers judged', 'verdict', 'why'], rows, left=5)}\n\n"
        f"{len(found['sources'])} sources, {judged:,} answers judged: {words}. "
        f"Also fine, of reasoning-gym: {', '.join(fine)}.\n\n{made}."
    )


def numbers() -> str:
    """Numeric answers through our pool and through Math-Verify: speed, errors and disagreements."""
    return from_result(RESULTS / "pool.json", "python experiments/pool.py", numbers_of)


def numbers_of(found: dict[str, Any]) -> str:
    """See ``numbers``."""
    n, peaks, seconds = found["answers"], found["peak_mib"], found["seconds"]
    judges = {
        "`maths` in the pool, two workers": ("two", "ours"),
        "`maths` in the pool, one worker": ("one", "ours"),
        "Math-Verify, one process": ("theirs", "theirs"),
    }
    speed = [
        [title, f"{n / sum(seconds[name]):,.0f}", spread(seconds[name], found["block"]), f"{peaks[who]:.0f}"]
        for title, (name, who) in judges.items()
    ]
    rows, total = found["categories"], {"ours": Counter(), "theirs": Counter()}
    lines = []
    for name, row in rows.items():
        told = found["disagreements"].get(name, [])
        errors = [str(row[who][kind]) for who in total for kind in ("accepted", "refused")]
        lines.append([name, f"{row['answers']:,}", *errors, f"{len(told):,}", example(told)])
        for who, counts in total.items():
            counts.update(row[who])
    words = "; ".join(
        f"{title}: {total[who]['accepted']:,} wrong answers accepted, {total[who]['refused']:,} right ones "
        f"refused, {total[who]['unknown']:,} not judged"
        for who, title in (("ours", "`maths`"), ("theirs", "Math-Verify"))
    )
    right = sum(row["right"] for row in rows.values())
    heads = ["answers written as", "answers", "here: wrong accepted", "right refused",
             "Math-Verify: wrong accepted", "right refused", "disagreements", "the first"]  # fmt: skip
    ahead = ["judge", "answers a second", "blocks: lowest to highest", "peak MiB a process"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{markdown(ahead, speed)}\n\n{markdown(heads, lines)}\n\n"
        f"{n:,} answers, {right:,} of them right. {words}. All disagreements are in "
        f"[pool.json](../experiments/results/pool.json). "
        f"`{found['command']}`, {versions}, {found['date']}."
    )


def spread(seconds: Sequence[float], block: int) -> str:
    """The slowest and the fastest full block, in answers a second."""
    full = seconds[: len(seconds) - 1] or seconds
    return f"{block / max(full):,.0f} to {block / min(full):,.0f}"


def example(told: Sequence[Sequence[Any]]) -> str:
    """One disagreement in a cell."""
    if not told:
        return ""
    gold, answer, here, there, truth = told[0]
    return cell(
        f"`{answer.strip()}` for `{gold}` is {WORDS[truth]}; here {WORDS[here]}, Math-Verify {WORDS[there]}"
    )


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")
