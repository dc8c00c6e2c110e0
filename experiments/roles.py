"""How well nano-2 plays each prompt role: ``python experiments/roles.py FOLDER [--questions 200]``.

Prompts are drawn as for its training, from the ``dev`` split; one greedy reply each. The model's card shows
the numbers (``experiments/card.py nano-2 --measure``).
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sharpen.measure.judging import first_error_f1
from sharpen.models import works
from sharpen.models.corpus import END
from sharpen.models.roles import NANO_2, Roles
from sharpen.runs.streams import stream
from sharpen.score.first_error import first_error
from sharpen.score.sandbox import last_block, run_python
from sharpen.tasks.family import ANSWER, final_answer
from sharpen.tasks.task import Task

LONGEST = 400
"""Tokens a reply may take: enough for every one of the corpus."""
_GAME = re.compile(r"Make (\d+) from ([\d ]+)")
Texts = tuple[str, str, str]
"""Prompt, gold reply, the model's reply."""


def same(prompt: str, gold: str, reply: str) -> bool:
    """Word for word."""
    return reply == gold


def answered(prompt: str, gold: str, reply: str) -> bool:
    """The final answer: gold's, or one that reaches the question's target with its numbers."""
    return good_answer(prompt, final_answer(gold), final_answer(reply))


def good_answer(prompt: str, gold: str | None, said: str | None) -> bool:
    """As ``answered``, of answers."""
    games = _GAME.findall(prompt.split(" hint ")[0])
    if said is None or gold is None or gold == said or gold == "none" or not games:
        return said is not None and said == gold
    target, numbers = games[-1]
    data = {"target": int(target), "numbers": [int(n) for n in numbers.split()]}
    return works.COUNTDOWN.verify(Task("", "", "", data), ANSWER + said).correct


def worked(prompt: str, gold: str, reply: str) -> bool:
    """A rationale: its last result is gold's."""
    return reply.split("\n")[-1].split("=")[-1] == gold.split("\n")[-1].split("=")[-1]


def flagged(prompt: str, gold: str, reply: str) -> bool:
    """Whether good is called good, and nothing else is."""
    return (reply == "good") == (gold == "good")


def led(prompt: str, gold: str, reply: str) -> bool:
    """A tool call (or answer) that still leads to the target; of a chain, gold's."""
    if not _GAME.search(prompt) or gold.startswith(ANSWER):
        return answered(prompt, gold, reply)
    call = re.search(r"<tool>(\d+)([+\-*/])(\d+)</tool>\Z", reply)
    if call is None:
        return False
    question, *history = prompt.removeprefix("act ").strip().split("\n")
    past = zip(history[1::3], history[2::3], strict=True)
    done = [f"{said[6:-7]}={seen}" for said, seen in past if seen != "invalid"]
    result = works.apply(int(call[1]), call[2], int(call[3]))
    _, target, _, *numbers = question.split()
    task = Task("", question, "", {"target": int(target), "numbers": [int(n) for n in numbers]})
    return result is not None and works.outlook(task, [*done, f"{call[1]}{call[2]}{call[3]}={result}"]) != (
        "impossible"
    )


def ran(prompt: str, gold: str, reply: str) -> bool:
    """A program: what it computes. A countdown's has to use the question's numbers, too."""
    written = last_block(reply)
    right = last_block(gold)
    if written is None or right is None:
        return False
    if _GAME.search(prompt):
        said = re.search(r"(?:ans=|return )(.+)", written)
        wanted = re.search(r"(?:ans=|return )(.+)", right)
        return bool(said and wanted) and good_answer(prompt, wanted[1], said[1])  # type: ignore[index]
    arguments = ",".join(str(2 + 3 * i % 7) for i in range(right.split("\n")[0].count(",") + 1))
    call = f"solution({arguments if 'solution(A' in right else ''})" if "def " in right else "ans"
    return result(written, call) == result(right, call) is not None


def result(code: str, call: str) -> str | None:
    """What a program makes of ``call``; None where it fails."""
    done = run_python(f"{code}\nprint({call})")
    return done.stdout.strip() if done.how == "ended" and done.code == 0 else None


SCORES: dict[str, Callable[[str, str, str], bool]] = {
    **dict.fromkeys(
        ("direct", "answer", "shots", "hint", "confidence", "revise", "mask", "subquestion"), answered
    ),
    **dict.fromkeys(("value", "correct", "vote", "verify", "statement", "template", "expression"), same),
    "think": worked,
    "critique": flagged,
    "act": led,
    **dict.fromkeys(("program", "function", "debug"), ran),
    **dict.fromkeys(("decompose", "followup"), same),
}
"""What counts as right, by role."""
CLOSED = ("value", "correct", "vote", "verify", "critique")
"""Roles with few replies: the most frequent gold reply is what chance would reach."""
CHAIN_ONLY = ("template", "expression", "decompose", "followup")


def measure(policy: Any, n: int, of: Sequence[str] = (*SCORES, "judge")) -> list[dict[str, Any]]:
    """One entry a role and family: replies, how many are right, and the share of the commonest gold."""
    cells = []
    for role in of:
        for family, word in (("chain", "Compute"), ("countdown", "Make")):
            if family == "countdown" and role in CHAIN_ONLY:
                continue
            texts = replies(policy, role, word, n)
            cell: dict[str, Any] = {"role": role, "family": family, "n": n}
            if role == "judge":
                cell |= judged(texts)
            else:
                cell["right"] = sum(SCORES[role](*t) for t in texts)
                if role in CLOSED:
                    golds = Counter(g if g in ("good", "yes", "no") or "wrong" not in g else "wrong"
                                    for _, g, _ in texts)  # fmt: skip
                    cell["chance"] = round(golds.most_common(1)[0][1] / n, 3)
            cells.append(cell)
            print(cell, flush=True)
    return cells


def judged(texts: Sequence[Texts]) -> dict[str, Any]:
    """The judge's measures; ``right`` counts the items whose index is named."""
    labels, said = zip(*((first_error(g), first_error(r)) for _, g, r in texts), strict=True)
    found = first_error_f1(labels, said)
    return {
        "right": sum(a == b for a, b in zip(labels, said, strict=True)),
        "acc_err": found.wrong,
        "acc_cor": found.right,
        "f1": found.f1,
    }


def replies(policy: Any, role: str, word: str, n: int) -> list[Texts]:
    """``n`` dev prompts of a role in one family, with gold and greedy reply."""
    from sharpen.sample.episode import Request
    from sharpen.sample.law import GREEDY
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.text import decode, render

    corpus, rng = _CORPUS, stream("card", "roles", role, word).generator()
    drawn = []
    while len(drawn) < n:
        sample = corpus.draw(role, rng)
        if word in sample.prompt:
            drawn.append((sample.prompt, sample.completion.removesuffix(END)))
    requests = [
        Request(render(policy.tokenizer, p).tokens, stream("roles", i), GREEDY, LONGEST, policy.eos_ids)
        for i, (p, _) in enumerate(drawn)
    ]
    done = NativeEngine().generate(policy, requests)
    said = [decode(policy.tokenizer, c.tokens, eos_ids=policy.eos_ids) for c in done]
    return [(p, g, r) for (p, g), r in zip(drawn, said, strict=True)]


_CORPUS = Roles(replace(NANO_2, gold=200), "dev")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=200, help="a role and family")
    args = parser.parse_args()

    from sharpen.sample.policy import load_policy

    measure(load_policy(args.folder), args.questions)


if __name__ == "__main__":
    main()
