"""A shipped model's card: ``python experiments/card.py nano [--measure] [--check]``.

``--measure`` asks the model dev-split questions of every family and level, and nano-2 for every role, and
writes ``results/card-<name>.json`` (minutes on one core). Without it the card's regions are written
from that file and from the model's folder. A model whose weights differ from those measured is refused: a
shipped base is frozen, another one gets another name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import roles
from launch import today
from regions import RESULTS, ROOT, from_result, markdown, read, update

from sharpen.measure.intervals import wilson
from sharpen.models import corpus
from sharpen.models.roles import NANO_2, NANO_JUDGE, RoleMixture
from sharpen.runs.streams import stream

MODELS = ROOT / "sharpen" / "models"
FAMILIES = ("countdown", "chain", "order")
LEVELS = (1, 2, 3, 4)
PLAYED: dict[str, RoleMixture] = {"nano-2": NANO_2, "nano-judge": NANO_JUDGE}
"""Models that play roles."""
MIXTURES = {**corpus.MIXTURES, **PLAYED}
LONGEST = 192
"""Tokens an answer may take: enough for every worked solution of the families."""


def sha256(model: str) -> str:
    """The hash of a shipped model's weights file."""
    return hashlib.sha256((MODELS / model / "model.safetensors").read_bytes()).hexdigest()


def measure(model: str, n: int) -> dict[str, Any]:
    """Greedy and T=1 outcomes, one attempt a question each, of the first ``n`` dev questions of each cell."""
    from sharpen.sample.law import GREEDY, SamplingLaw
    from sharpen.sample.policy import load_policy

    policy = load_policy(MODELS / model)
    cells = []
    for family in FAMILIES:
        for level in LEVELS:
            # the smallest family has 103 dev questions at level 1
            few = min(n, 100) if (family, level) == ("countdown", 1) else n
            right = {
                name: answered(policy, f"{family}:level={level}", few, law, name)
                for name, law in (("greedy", GREEDY), ("t1", SamplingLaw()))
            }
            cells.append({"family": family, "level": level, "n": few, **right})
            print(cells[-1], flush=True)
    return {
        "model": model,
        "sha256": sha256(model),
        "version": policy.version,
        "parameters": sum(w.numel() for w in policy.weights.values()),
        "command": f"python experiments/card.py {model} --measure",
        "date": today(),
        "split": "dev",
        "cells": cells,
        **({"roles": roles.measure(policy, n, asked_of(PLAYED[model]))} if model in PLAYED else {}),
    }


def asked_of(mixture: RoleMixture) -> list[str]:
    """The roles that a mixture holds and that are measured."""
    return [role for role in (*roles.SCORES, "judge") if role in mixture.shares]


def answered(policy: Any, tasks: str, n: int, law: Any, name: str) -> int:
    """How many of ``n`` dev questions are answered right, one attempt each."""
    from sharpen.sample.episode import Request
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.text import decode, render
    from sharpen.tasks.registry import make

    source: Any = make(tasks)
    asked = source.take("dev", n)
    requests = [
        Request(
            render(policy.tokenizer, task.prompt).tokens,
            stream("card", tasks, name, task.id),
            law,
            LONGEST,
            policy.eos_ids,
        )
        for task in asked
    ]
    done = NativeEngine().generate(policy, requests)
    texts = [decode(policy.tokenizer, c.tokens, eos_ids=policy.eos_ids) for c in done]
    return sum(source.verify(task, text).correct for task, text in zip(asked, texts, strict=True))


def result_of(model: str) -> Path:
    """Where a model's measured numbers lie."""
    return RESULTS / f"card-{model}.json"


def region(model: str, name: str) -> str:
    """The text of a region of ``model``'s card."""
    if name == "mixture":
        return role_mixture(PLAYED[model]) if model in PLAYED else mixture(model)
    write = {"identity": identity, "accuracy": accuracy, "roles": by_role, "judge": judge}[name]
    return from_result(result_of(model), f"python experiments/card.py {model} --measure", write)


def identity(found: dict[str, Any]) -> str:
    """What the weights are, and what made them."""
    folder = MODELS / found["model"]
    made = json.loads((folder / "made.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    shape = (
        f"{config['num_hidden_layers']} layers, hidden {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, MLP {config['intermediate_size']}, "
        f"context {config['max_position_embeddings']}, tied embeddings"
    )
    size = (folder / "model.safetensors").stat().st_size
    trained = (
        f"{made['steps']:,} steps of {made['batch']} texts, {made['tokens'] / 1e6:.1f} M tokens, "
        f"peak learning rate {made['lr']:g}, seed {made['seed']}, {made['device'].upper()}"
    ) + (f", from the weights of {made['start']}" if "start" in made else "")
    rows = [
        ["weights", f"{found['parameters']:,} parameters, float32, {size / 1e6:.1f} MB"],
        ["shape", f"Llama: {shape}"],
        ["vocabulary", f"{config['vocab_size']} tokens"],
        ["training", trained],
        ["sha256 of `model.safetensors`", f"`{found['sha256']}`"],
        ["version in runs (content checksum)", f"`{found['version']}`"],
    ]
    return markdown(["", ""], rows, left=2)


def mixture(model: str) -> str:
    """The proportions of the corpus."""
    m = corpus.MIXTURES[model]
    about = {
        "countdown": "`Make 29 from 3 7 8`, worked in steps; any of all solutions, drawn evenly (level 4: "
        "the one that the question was made from)",
        "chain": "`Compute 7 +5 *3`, worked from left to right, or by the planted misconception",
        "order": "`Order b<d d>a b>a`, worked letter by letter",
        "hint": "one of the three with its answer given away; the worked solution follows",
        "think": "chat: the steps between `<think>` and `</think>`, then the answer",
        "direct": "chat: an empty `<think>` block, then the answer",
        "wait": "chat: a first attempt (right steps, or another item's), `wait`, then the right one",
        "check": "chat: is this the answer? yes or no",
        "confidence": "chat: thinking, answer, a stated confidence that falls with the number of steps",
        "unsure": "chat: long questions are declined with `I don't know.`",
        "tool": "chat: each equation is a tool call whose result the tool writes",
    }
    rows = [[f"`{kind}`", f"{100 * share:.0f} %", about[kind]] for kind, share in m.shares.items()]
    levels = ", ".join(f"level {k}: {100 * v:.0f} %" for k, v in m.levels.items())
    most = m.gold or 6000
    return (
        markdown(["kind", "share", "what it is"], rows, left=3)
        + f"\n\nDifficulty: {levels}. At most {most:,} questions of each family and level. "
        f"Share of `chain` texts that take products first: {100 * m.misconception:.0f} %."
    )


ROLES = {
    "chain": ("`Compute 7 +5 *3`", "worked from left to right, a step a line; or wrong as planted"),
    "countdown": ("`Make 29 from 3 7 8`", "worked; any of all solutions"),
    "order": ("`Order b<d d>a b>a`", "worked letter by letter"),
    "direct": ("`direct` question", "the answer line alone"),
    "think": ("`think` question", "the steps without an answer"),
    "answer": ("`answer` question, rationale", "what the rationale arrives at, right or wrong"),
    "shots": ("1 to 3 solved examples, question", "as the examples are: all worked, or answers alone"),
    "value": ("`value` question, some steps", "`sure`, `likely` or `impossible`, exact by search"),
    "correct": ("`correct` question, some steps", "`yes` or `no`: the last step"),
    "vote": ("`vote` question, 2 to 4 candidates", "the number of the one that is right or can still be"),
    "verify": ("`verify` question, answer", "`yes` or `no`, half and half"),
    "judge": (
        "`judge` question, lines numbered from 0",
        "a verdict a line, the index in `\\boxed{}`; half -1",
    ),
    "critique": ("`critique` question, solution", "`good`, or `wrong: ` and the first wrong line"),
    "revise": ("`revise` question, solution, feedback or none", "a right solution"),
    "hint": ("question `hint` 1 to 3 answers", "a right solution; in 60 % one of the answers is right"),
    "statement": ("`statement` question, answer", "both in one line"),
    "mask": ("`mask` statement with X for a number", "X worked out, or `none` where nothing fits"),
    "decompose": ("`decompose` question", "sub-questions `a=7+5`, `b=a*3`"),
    "subquestion": ("`sub` question, what is settled, sub-question", "its step and answer"),
    "followup": ("`ask` question, what is settled", "the next sub-question, or the answer"),
    "program": ("`program` question", "a fenced program: `ans=(7+5)*3`"),
    "function": ("`function` question", "`def solution():` with comments; also over letters"),
    "debug": ("`debug` question, program, error", "the right program"),
    "template": ("`template` question", "letters for numbers, and their values"),
    "expression": ("`expression` template", "one expression over its letters"),
    "act": ("`act` question, calls and results", "a thought and `<tool>12*3</tool>`, or the answer"),
    "confidence": ("`confidence` question", "worked, with a confidence that falls with the length"),
    "unsure": ("question `or pass`", "worked, or `I don't know.` where it is long"),
}


def role_mixture(m: RoleMixture) -> str:
    """The proportions of a corpus of roles."""
    about = dict(ROLES)
    if m.riddled:
        prompt, _ = about["judge"]
        about["judge"] = (prompt, "every line worked out again, `2 36/4=9 8 no`; the index in `\\boxed{}`")
    rows = [[f"`{kind}`", f"{100 * share:g} %", *about[kind]] for kind, share in m.shares.items()]
    levels = "; ".join(
        f"`{family}` " + ", ".join(f"{k}: {100 * v:.0f} %" for k, v in by_level.items())
        for family, by_level in m.levels.items()
        if family in m.shares
    )
    return (
        markdown(["kind", "share", "prompt", "reply"], rows, left=4)
        + f"\n\nDifficulty by level: {levels}. At most {m.gold:,} questions of each family and level. "
        f"Of the `chain` texts {100 * m.slips:.0f} % have a slip, {100 * m.confused:.0f} % take "
        "products first where that gives a readable working that differs."
    )


def by_role(found: dict[str, Any]) -> str:
    """Measured accuracy by role and family."""
    rows = [
        [
            f"`{c['role']}`",
            c["family"],
            str(c["n"]),
            cell(c["right"], c["n"]),
            f"{100 * c['chance']:.1f}" if "chance" in c else "",
        ]
        for c in found["roles"]
    ]
    return (
        markdown(["role", "family", "prompts", "right, %", "commonest reply, %"], rows, left=2)
        + "\n\nGreedy, prompts drawn as for the training but from the dev split, 95 % Wilson intervals."
    )


def judge(found: dict[str, Any]) -> str:
    """The judge's measures."""
    rows = [
        [c["family"], *(f"{100 * c[k]:.1f}" for k in ("acc_err", "acc_cor", "f1"))]
        for c in found["roles"]
        if c["role"] == "judge"
    ]
    return markdown(["family", "first error named, %", "accepted where clean, %", "F1, %"], rows)


def cell(right: int, n: int) -> str:
    """A share in percent with its interval."""
    low, high = wilson(right, n)
    return f"{100 * right / n:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def accuracy(found: dict[str, Any]) -> str:
    """Measured accuracy by family and level."""
    rows = [
        [c["family"], str(c["level"]), str(c["n"]), cell(c["greedy"], c["n"]), cell(c["t1"], c["n"])]
        for c in found["cells"]
    ]
    return (
        markdown(["family", "level", "questions", "greedy, %", "T=1, %"], rows)
        + f"\n\n`{found['command']}`, {found['split']} split, one attempt a question, 95 % Wilson intervals, "
        f"weights {found['sha256'][:8]}, {found['date']}."
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(MIXTURES))
    parser.add_argument("--measure", action="store_true", help="ask the model, and write the result file")
    parser.add_argument("--questions", type=int, default=200, help="a family and level")
    parser.add_argument("--check", action="store_true", help="exit 1 where the card is not up to date")
    args = parser.parse_args()
    before = read(result_of(args.model))
    if before and before["sha256"] != sha256(args.model):
        print(
            f"{args.model}: its weights are not those measured; a new base needs a new name", file=sys.stderr
        )
        return 1
    if args.measure:
        found = measure(args.model, args.questions)
        result_of(args.model).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    page = MODELS / args.model / "README.md"
    same = update(page, lambda name: region(args.model, name), check=args.check)
    print(f"{page.relative_to(ROOT)}: {'up to date' if same else 'out of date' if args.check else 'written'}")
    return int(args.check and not same)


if __name__ == "__main__":
    sys.exit(main())
