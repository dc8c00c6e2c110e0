"""Which of N samples? ``python experiments/certainty.py [--base nano] [--out DIR]``, minutes on one core.

Each family and seed is one run of ``sharpen run evaluate``: 1,000 held-out questions, 32 samples each, all
stored with their signals. Every rule then chooses from the same samples; N = 4, 8, 16 are the first N of the
same random orders of the 32 (5 of them, averaged). The result file holds every rule's accuracy with intervals
over seeds and questions, paired differences, separation and length bias of the signals, and the controls.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from launch import base_of, perform, today, write
from numpy.typing import NDArray
from regions import RESULTS

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.measure.separation import auroc, question_aurocs, spearman
from sharpen.models.names import shipped
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.sample.episode import Episode
from sharpen.sample.text import cut_at_stop
from sharpen.score.signals import episode_scores
from sharpen.score.table import table_to_episodes
from sharpen.select import votes
from sharpen.strategies.question import Question, question_of
from sharpen.tasks.registry import make

SAMPLES, SIZES, ORDERS, SEEDS = 32, (4, 8, 16, 32), 5, 3
NEEDLE = "reasoning_gym:needle_haystack:min_num_statements=2,max_num_statements=4"
FAMILIES = {"nano": {"countdown:level=2": 64, "chain:level=3": 112}, "gemma-3-270m": {NEEDLE: 8}}
"""By base: the families, and the longest sample in tokens."""
QUESTIONS = {"nano": 1000, "gemma-3-270m": 300}
EXAMPLE = (
    "Ann likes tea. Bob hates snow. Tom enjoys chess. \nWho hates snow? Reply only with a name.",
    "\nAnswer: Bob",
)
"""Of our own, so that it is in no split; the same as in experiments/star.toml."""
SETTINGS = {
    "nano": ["temperature=1"],
    # the temperature of the paper; a base model needs the form shown
    "gemma-3-270m": [
        "temperature=0.6",
        f"few_shot={json.dumps([EXAMPLE])}",
        'prefill="\\nAnswer:"',
        'stop=["\\n"]',
    ],
}
STOP = {"nano": (), "gemma-3-270m": ("\n",)}
STRATEGY = f"self_consistency:samples={SAMPLES}"
Names = Sequence[str | None]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """What was drawn for one question: answers' names, marks, and one number a sample by signal."""

    names: list[str | None]
    right: Array
    signals: dict[str, Array]
    greedy: float


Rule = Callable[[Names, Mapping[str, Array]], int]


def best(signal: str) -> Rule:
    """The sample with the largest signal."""
    return lambda names, signals: votes.best(signals[signal], names)


def borda(signal: str, power: float) -> Rule:
    """Votes by rank."""
    return lambda names, signals: votes.borda(names, signals[signal], power).index


RULES: dict[str, Rule] = {
    "first": lambda names, signals: votes.first(names),
    "log-probability, argmax": best("logprob"),
    "entropy, argmax": best("entropy"),
    "self-certainty, argmax": best("certainty"),
    "majority": lambda names, signals: votes.majority(names).index,
    "self-certainty, mean per answer": lambda n, s: votes.weighted(n, s["certainty"], by="mean").index,
    "self-certainty, sum per answer": lambda n, s: votes.weighted(n, s["certainty"]).index,
    **{f"self-certainty, Borda p={p:g}": borda("certainty", p) for p in (0.3, 0.5, 1.2, 2.0)},
    "log-probability, Borda p=1.2": borda("logprob", 1.2),
    # controls
    "shuffled self-certainty, argmax": best("shuffled"),
    "shuffled self-certainty, Borda p=1.2": borda("shuffled", 1.2),
    "longest": best("length"),
    "self-certainty of an untrained model, argmax": best("untrained"),
}
SIGNALS = ("certainty", "logprob", "entropy", "length", "untrained")
PAIRS = (
    ("self-certainty, argmax", "first"),
    ("self-certainty, argmax", "log-probability, argmax"),
    ("majority", "self-certainty, argmax"),
    ("self-certainty, Borda p=1.2", "majority"),
    ("self-certainty, Borda p=0.3", "majority"),
    ("log-probability, Borda p=1.2", "majority"),
    ("shuffled self-certainty, argmax", "first"),
    ("shuffled self-certainty, Borda p=1.2", "majority"),
    ("longest", "first"),
    ("self-certainty of an untrained model, argmax", "first"),
)


def command(base: str, tasks: str, folder: Path, seed: int) -> list[str]:
    """The run as a user would type it."""
    settings = [
        f"model={base}", f"tasks={tasks}", f"questions={QUESTIONS[base]}", *SETTINGS[base],
        f"max_new_tokens={FAMILIES[base][tasks]}", f'strategies=["greedy", "{STRATEGY}"]',
    ]  # fmt: skip
    return ["sharpen", "run", "evaluate", *settings, "--out", str(folder), "--seed", str(seed)]


def drawn(base: str, folder: Path, tasks: str, seed: int) -> dict[str, Samples]:
    """Every question's samples, read back from the run."""
    files, source = unit_files(folder), make(tasks)
    split = {t.id: t for t in source.take("test", QUESTIONS[base])}
    scope = STRATEGY.replace(":", " ")
    right = marks(files, scope)
    greedy = {task: good for (task, _), good in marks(files, "greedy", only_first=True).items()}
    episodes: dict[str, list[Episode]] = {}
    for path in files[f"{scope}/solve:0"][1::2]:
        for e in table_to_episodes(pq.read_table(path).drop_columns(["request"])):
            episodes.setdefault(e.task_id, []).append(e)
    every = [e for row in episodes.values() for e in row]
    # an untrained model of a real vocabulary costs as much as the samples did
    untrained = untrained_certainty(every) if base in shipped() else {}
    out = {}
    for task, row in episodes.items():
        question: Question = question_of(source, split[task])
        signals = {s: episode_scores(row, s).values for s in ("certainty", "logprob", "entropy")}
        shuffle = stream("certainty", tasks, seed, task).generator()
        signals["shuffled"] = shuffle.permutation(signals["certainty"])
        signals["length"] = np.array([float(e.n_sampled) for e in row])
        if untrained:
            signals["untrained"] = np.array([untrained[e.key] for e in row])
        texts = [e.prefill + cut_at_stop(e.text, STOP[base]) for e in row]
        out[task] = Samples(
            question.names(texts), np.array([right[task, t] for t in texts]), signals, greedy[task]
        )
    return out


def marks(
    files: Mapping[str, Sequence[Path]], scope: str, *, only_first: bool = False
) -> dict[tuple[str, str], float]:
    """Whether each text that a strategy considered is right, by (task, text); or of final answers alone, by
    (task, "")."""
    judged = {}
    for path in files[f"{scope}/score:0"]:
        table = pq.read_table(path, columns=["key", "correct"])
        judged |= dict(zip(table["key"].to_pylist(), table["correct"].to_pylist(), strict=True))
    out = {}
    for path in files[f"{scope}/solve:0"][0::2]:
        for row in pq.read_table(path, columns=["key", "task_id", "sample", "text"]).to_pylist():
            if not only_first:
                out[row["task_id"], row["text"]] = float(judged[row["key"]])
            elif row["sample"] == 0:
                out[row["task_id"], ""] = float(judged[row["key"]])
    return out


def untrained_certainty(episodes: Sequence[Episode]) -> dict[str, float]:
    """The same texts' self-certainty under weights that were never trained (seed 1), by key."""
    from sharpen.models.make import make_model, make_tokenizer, save
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.policy import load_policy

    tokenizer = make_tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        save(make_model(len(tokenizer), 1), tokenizer, Path(folder))
        policy = load_policy(folder)
    notes = NativeEngine().annotate(policy, [e.tokens for e in episodes])
    return {
        e.key: float(note.certainty[len(e.tokens) - e.n_sampled :].mean(dtype=np.float64))
        for e, note in zip(episodes, notes, strict=True)
    }


def chosen(
    samples: Samples, order: NDArray[np.int64], n: int, rules: Mapping[str, Rule] = RULES
) -> dict[str, float]:
    """Whether each rule's choice among the first ``n`` of an order is right."""
    some = order[:n]
    names = [samples.names[i] for i in some]
    signals = {k: v[some] for k, v in samples.signals.items()}
    right = samples.right[some]
    # a question without any answer counts wrong, whatever the verifier would say of the text
    if all(name is None for name in names):
        return {**dict.fromkeys(rules, 0.0), "any right": 0.0}
    out = {rule: float(right[pick(names, signals)]) for rule, pick in rules.items()}
    return {**out, "any right": float(right.max())}


def table_of(
    found: Mapping[str, Samples], n: int, rules: Mapping[str, Rule] = RULES, samples: int = SAMPLES
) -> dict[str, Array]:
    """Rule -> ``(questions,)`` accuracy of the first ``n`` of ``samples``, averaged over the orders;
    questions in the order of their ids."""
    rows: dict[str, list[float]] = {}
    for task in sorted(found):
        orders = stream("certainty", "orders", task).generator().permuted(
            np.tile(np.arange(samples), (ORDERS, 1)), axis=1
        )  # fmt: skip
        told = [chosen(found[task], order, n, rules) for order in (orders if n < samples else orders[:1])]
        for rule in told[0]:
            rows.setdefault(rule, []).append(float(np.mean([t[rule] for t in told])))
    return {rule: np.array(values) for rule, values in rows.items()}


def family(base: str, tasks: str, out: Path) -> dict[str, Any]:
    """Everything about one family: rules by N, pairs, signals."""
    runs, commands = [], []
    for seed in range(SEEDS):
        folder = out / f"{tasks.replace(':', '-')}-{seed}"
        words = command(base, tasks, folder, seed)
        perform(words, folder)
        commands.append(shlex.join([*words[:-4], "--seed", str(seed)]))
        runs.append(drawn(base, folder, tasks, seed))
    known = next(iter(runs[0].values())).signals
    rules_of = {name: rule for name, rule in RULES.items() if "untrained" in known or "untrained" not in name}
    tables = {n: [table_of(found, n, rules_of) for found in runs] for n in SIZES}
    of = lambda n, rule: np.array([t[rule] for t in tables[n]])  # noqa: E731
    rules = list(tables[SAMPLES][0])
    told = {rule: {str(n): estimate(of(n, rule), rule, str(n)) for n in SIZES} for rule in rules}
    greedy = np.array([[found[t].greedy for t in sorted(found)] for found in runs])
    told["greedy"] = {"1": estimate(greedy, "greedy")}
    return {
        "tasks": tasks,
        "commands": commands,
        "base": base_of(out / f"{tasks.replace(':', '-')}-0"),
        "questions": len(runs[0]),
        "seeds": SEEDS,
        "rules": told,
        "pairs": [
            {"a": a, "b": b, "n": n, **estimate(of(n, a) - of(n, b), a, b, str(n))}
            for a, b in PAIRS
            if a in rules_of
            for n in SIZES[1::2]
        ],
        "signals": {s: signal_of(s, runs, tasks) for s in SIGNALS if s in known},
        "distinct": float(np.mean([len(set(s.names) - {None}) for found in runs for s in found.values()])),
    }


def estimate(values: Array, *names: str) -> dict[str, float]:
    """Mean over ``(seeds, questions)`` with its interval."""
    mean, low, high = hierarchical_bootstrap(values, n=4000, stream=stream("certainty", *names))
    return {"mean": mean, "low": low, "high": high}


def signal_of(signal: str, runs: Sequence[Mapping[str, Samples]], tasks: str) -> dict[str, Any]:
    """How well a signal separates right from wrong: AUROC inside questions (mean over those that have both,
    with its interval) and pooled, and its rank correlation with the length; each seed's value."""
    inside, pooled, length = [], [], []
    for found in runs:
        of = [t for t in sorted(found) for _ in range(SAMPLES)]
        scores, right, lengths = (
            np.concatenate([get(found[t]) for t in sorted(found)])
            for get in (lambda s: s.signals[signal], lambda s: s.right, lambda s: s.signals["length"])
        )
        inside.append(question_aurocs(scores, right, of))
        pooled.append(auroc(scores, right))
        length.append(spearman(scores, lengths))
    within = hierarchical_bootstrap(np.concatenate(inside)[None], stream=stream("certainty", tasks, signal))
    return {
        "within": dict(zip(("mean", "low", "high"), within, strict=True)),
        "mixed": [len(row) for row in inside],
        "pooled": pooled,
        "length": length,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", choices=sorted(FAMILIES), default="nano")
    parser.add_argument("--out", type=Path, default=Path("runs/certainty"))
    args = parser.parse_args()
    found: dict[str, Any] = {
        "made_by": f"python experiments/certainty.py --base {args.base}",
        "date": today(),
        "families": [],
    }
    path = RESULTS / f"certainty-{args.base}.json"
    for tasks in FAMILIES[args.base]:
        found["families"].append(family(args.base, tasks, args.out))
        write(path, found)


if __name__ == "__main__":
    main()
