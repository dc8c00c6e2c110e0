"""Can a model choose among its own samples by judging their steps? ``python experiments/judging.py``.

The base nano-judge solves chains of 4 to 12 operations, 16 samples a question, and judges every sample line
by line (Self-PRM, arXiv 2505.11227). Each seed is one run of ``sharpen run evaluate``; every rule then
chooses from the same samples. Besides: first-error F1 on solutions that it did not write, how far "this
solution is right" can be believed by difficulty, and whether judging hangs on solving.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from certainty import (
    Array,
    Names,
    Rule,
    Samples,
    best,
    borda,
    estimate,
    marks,
    table_of,
)  # fmt: skip
from launch import base_of, perform, today, write
from regions import RESULTS

from sharpen.measure.judging import (
    Acceptance,
    acceptance,
    acceptance_by_difficulty,
    dependence,
    first_error_f1,
)
from sharpen.measure.separation import question_aurocs
from sharpen.models import works
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.sample.episode import Episode
from sharpen.score.first_error import NO_ERROR, first_error, step_score
from sharpen.score.signals import episode_scores
from sharpen.score.table import table_to_episodes
from sharpen.select import steps as by
from sharpen.select import votes
from sharpen.strategies import strategy
from sharpen.strategies.judged import solution_steps
from sharpen.strategies.question import question_of
from sharpen.strategies.words import NANO_2 as WORDS
from sharpen.tasks.registry import make
from sharpen.tasks.task import Task

BASE, TASKS, SEEDS, QUESTIONS = "nano-judge", "chain:level=3,min_ops=4,max_ops=12", 3, 500
"""Of every difficulty, from what the base nearly always solves and judges to what it hardly does."""
SAMPLES, SIZES = 16, (4, 8, 16)
STRATEGY = f"self_prm:samples={SAMPLES}"
LONGEST = 320
"""Tokens of a reply: judgments of eleven lines are the longest."""
ACCEPTED = 1.0


def steps(names: Names, signals: Mapping[str, Array], *, signal: str = "judged") -> int:
    """The best step score, among equals the majority."""
    return by.by_steps(names, signals[signal]).index


def accepting(pick: Any, names: Names, signals: Mapping[str, Array]) -> int:
    """A rule over the samples that the judge accepts."""
    return pick(names, [bool(s == ACCEPTED) for s in signals["judged"]]).index


RULES: dict[str, Rule] = {
    "first": lambda names, signals: votes.first(names),
    "majority": lambda names, signals: votes.majority(names).index,
    "Self-PRM (step score)": steps,
    "Self-PRM, vote of the accepted": partial(accepting, by.accepted_vote),
    "Self-PRM, first accepted": partial(accepting, by.first_accepted),
    "self-certainty, argmax": best("certainty"),
    "self-certainty, Borda p=1.2": borda("certainty", 1.2),
    "log-probability, Borda p=1.2": borda("logprob", 1.2),
    # control
    "Self-PRM, judgments shuffled": partial(steps, signal="shuffled"),
}
PAIRS = (
    ("Self-PRM (step score)", "majority"),
    ("Self-PRM, vote of the accepted", "majority"),
    ("Self-PRM, first accepted", "first"),
    ("Self-PRM (step score)", "log-probability, Borda p=1.2"),
    ("Self-PRM, judgments shuffled", "majority"),
)


def command(folder: Path, seed: int) -> list[str]:
    """The run as a user would type it."""
    settings = [
        f"model={BASE}", f"tasks={TASKS}", f"questions={QUESTIONS}", "temperature=1", "words=nano-2",
        f"max_new_tokens={LONGEST}", f'strategies=["greedy", "{STRATEGY}"]',
    ]  # fmt: skip
    return ["sharpen", "run", "evaluate", *settings, "--out", str(folder), "--seed", str(seed)]


def drawn(folder: Path, seed: int) -> dict[str, Samples]:
    """Every question's samples with what the judge said of each, read back from the run."""
    from sharpen.sample.policy import load_policy

    files, source, decode = unit_files(folder), make(TASKS), load_policy(BASE).tokenizer.decode
    split = {t.id: t for t in source.take("test", QUESTIONS)}
    scope = strategy(STRATEGY).name.replace(":", " ")  # what is as by default is not in it
    right = marks(files, scope)
    greedy = {task: good for (task, _), good in marks(files, "greedy", only_first=True).items()}
    episodes: dict[str, list[Episode]] = {}
    said: dict[tuple[str, str], Episode] = {}
    for path in files[f"{scope}/solve:0"][1::2]:
        for e in table_to_episodes(pq.read_table(path).drop_columns(["request"])):
            prompt = str(decode(e.spans[0].tokens.tolist()))
            if prompt.startswith("judge "):
                said[e.task_id, prompt] = e
            else:
                episodes.setdefault(e.task_id, []).append(e)
    out = {}
    for task, row in episodes.items():
        question = question_of(source, split[task])
        texts = [e.prefill + e.text for e in row]
        lines = [solution_steps(t) for t in texts]
        asked = [WORDS.prompt("judge", question=works.question(split[task]), steps=s) for s in lines]
        told = [said.get((task, prompt)) for prompt in asked]
        scores = [
            step_score(first_error(e.text), len(s)) if e else 0.0 for e, s in zip(told, lines, strict=True)
        ]
        signals = {s: episode_scores(row, s).values for s in ("certainty", "logprob")}
        signals["judged"] = np.array(scores)
        signals["shuffled"] = stream("judging", seed, task).generator().permutation(signals["judged"])
        signals["tokens"] = np.array([float(e.n_sampled) for e in row])
        signals["judge_tokens"] = np.array([float(e.n_sampled) if e else 0.0 for e in told])
        out[task] = Samples(
            question.names(texts), np.array([right[task, t] for t in texts]), signals, greedy[task]
        )
    return out


# solutions by others ---------------------------------------------------------------------------------
def injected(tasks: Sequence[Task], seed: int) -> list[tuple[Task, list[str]]]:
    """Of each question a right solution or one with an error made by rule, half and half."""
    items = []
    for task in tasks:
        rng = stream("judging", "injected", seed, task.id).generator()
        right = str(task.solution).split("\n")
        items.append((task, right if rng.random() < 0.5 else works.wrong(task, right, rng)))
    return items


def natural(tasks: Sequence[Task], seed: int) -> list[tuple[Task, list[str]]]:
    """Of each question a sample of another model, nano, at temperature 1; those that cannot be read are left
    out."""
    from sharpen.sample.law import SamplingLaw

    texts = reply("nano", [str(t.prompt) for t in tasks], SamplingLaw(temperature=1.0), seed)
    items = []
    for task, text in zip(tasks, texts, strict=True):
        lines = solution_steps(text)
        try:
            works.first_wrong(task, lines)
        except (AssertionError, ValueError, IndexError):
            continue
        items.append((task, lines))
    return items


def reply(model: str, prompts: Sequence[str], law: Any, seed: int) -> list[str]:
    """One reply to each prompt."""
    from sharpen.sample.episode import Request
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.policy import load_policy
    from sharpen.sample.text import decode, render

    policy = load_policy(model)
    requests = [
        Request(render(policy.tokenizer, p).tokens, stream("judging", seed, i), law, LONGEST, policy.eos_ids)
        for i, p in enumerate(prompts)
    ]
    done = NativeEngine().generate(policy, requests)
    return [decode(policy.tokenizer, c.tokens, eos_ids=policy.eos_ids) for c in done]


def benchmark(seed: int, kind: str, found: Mapping[str, Samples]) -> dict[str, Any]:
    """First-error F1 on one solution a question, and whether it hangs on solving the question."""
    from sharpen.sample.law import GREEDY

    tasks = make(TASKS).take("test", QUESTIONS)
    items = {"injected": injected, "natural": natural}[kind](tasks, seed)
    prompts = [WORDS.prompt("judge", question=works.question(t), steps=lines) for t, lines in items]
    said = [first_error(text) for text in reply(BASE, prompts, GREEDY, seed)]
    labels = [works.first_wrong(t, lines) for t, lines in items]
    told = first_error_f1(labels, said)
    # a greedy reply is the same for every seed
    solves = [found[t.id].greedy == 1.0 for t, _ in items]
    hits = [a == b for a, b in zip(labels, said, strict=True)]
    table = [[sum(s == a and h == b for s, h in zip(solves, hits, strict=True)) for b in (True, False)]
             for a in (True, False)]  # fmt: skip
    hangs = dependence(table)
    return {
        "kind": kind, "seed": seed, "items": len(items), "with_error": sum(x != NO_ERROR for x in labels),
        "unread": sum(x is None for x in said), "acc_err": told.wrong, "acc_cor": told.right, "f1": told.f1,
        "table": table, "chi2": hangs and hangs.chi2, "p": hangs and hangs.p, "phi": hangs and hangs.phi,
        "given_solved": hangs and hangs.given_yes, "given_not": hangs and hangs.given_no,
    }  # fmt: skip


# what is told -----------------------------------------------------------------------------------------
def believed(runs: Sequence[Mapping[str, Samples]]) -> dict[str, Any]:
    """Precision and recall of acceptance by difficulty, over the samples of all seeds: by the judge, and by
    solving again, which accepts what most of the other samples answer."""
    judge, own, right = [], [], []
    for found in runs:
        for s in found.values():
            judge.append(s.signals["judged"] == ACCEPTED)
            right.append(s.right == 1.0)
            own.append(np.array([n is not None and n == _others(s.names, i) for i, n in enumerate(s.names)]))
    out = {}
    for name, accepted in (("judge", judge), ("solving again", own)):
        bands = acceptance_by_difficulty(accepted, right)
        whole = acceptance(np.concatenate(accepted), np.concatenate(right))
        out[name] = {band: told(a) for band, a in {"all": whole, **bands}.items()}
    return out


def _others(names: Names, i: int) -> str | None:
    """The most frequent answer among the other samples."""
    rest = [n for k, n in enumerate(names) if k != i]
    return rest[votes.majority(rest).index] if any(n is not None for n in rest) else None


def told(a: Acceptance) -> dict[str, Any]:
    """Counts and shares."""
    return {
        "n": a.n,
        "accepted": a.accepted,
        "correct": a.correct,
        "precision": a.precision,
        "recall": a.recall,
    }


def equal_tokens(runs: Sequence[Mapping[str, Samples]], n: int) -> int:
    """How many samples cost what ``n`` samples and their judgments cost, up to those there are."""
    return min(SAMPLES, round(n * (1 + tokens(runs, "judge_tokens") / tokens(runs, "tokens"))))


def tokens(runs: Sequence[Mapping[str, Samples]], kind: str) -> float:
    """Mean tokens of a sample, or of a judgment."""
    return float(np.mean([s.signals[kind].mean() for found in runs for s in found.values()]))


def result(out: Path) -> dict[str, Any]:
    """Everything, from finished runs."""
    runs = []
    for seed in range(SEEDS):
        perform(command(out / str(seed), seed), out / str(seed))
        runs.append(drawn(out / str(seed), seed))
    sizes = [
        *SIZES,
        *dict.fromkeys(equal_tokens(runs, n) for n in SIZES if equal_tokens(runs, n) not in SIZES),
    ]
    tables = {n: [table_of(found, n, RULES, SAMPLES) for found in runs] for n in sizes}
    of = lambda n, rule: np.array([t[rule] for t in tables[n]])  # noqa: E731
    greedy = np.array([[found[t].greedy for t in sorted(found)] for found in runs])
    rules = {r: {str(n): estimate(of(n, r), r, str(n)) for n in sizes} for r in tables[SAMPLES][0]}
    pairs = [
        {"a": a, "b": b, "n": n, "m": n, **estimate(of(n, a) - of(n, b), a, b, str(n))}
        for a, b in PAIRS
        for n in SIZES
    ]
    for n in SIZES:
        m = equal_tokens(runs, n)
        if m > n and m < SAMPLES:
            a, b = "Self-PRM (step score)", "majority"
            pairs.append({"a": a, "b": b, "n": n, "m": m, **estimate(of(n, a) - of(m, b), a, b, f"{n} {m}")})
    inside = [
        question_aurocs(
            np.concatenate([s.signals["judged"] for s in f.values()]),
            np.concatenate([s.right for s in f.values()]),
            [t for t in f for _ in range(SAMPLES)],
        )
        for f in runs
    ]
    return {
        "tasks": TASKS,
        "base": base_of(out / "0"),
        "command": shlex.join([*command(Path("DIR"), 0)[:-4], "--seed", "0"]),
        "questions": len(runs[0]),
        "seeds": SEEDS,
        "rules": {**rules, "greedy": {"1": estimate(greedy, "greedy")}},
        "pairs": pairs,
        "auroc": estimate(np.concatenate(inside)[None], "auroc"),
        "acceptance": believed(runs),
        "tokens": tokens(runs, "tokens"),
        "judge_tokens": tokens(runs, "judge_tokens"),
        "benchmark": [
            benchmark(seed, kind, runs[0]) for kind in ("injected", "natural") for seed in range(SEEDS)
        ],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/judging"))
    args = parser.parse_args()
    found = {
        "made_by": "python experiments/judging.py",
        "date": today(),
        **result(args.out),
    }
    write(RESULTS / f"judging-{BASE}.json", found)


if __name__ == "__main__":
    main()
