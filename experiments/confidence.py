"""Do reasoning models know when they are right (arXiv 2504.06564)? ``python experiments/confidence.py``.

One base learns a table of facts and chains of arithmetic. Its children: I answers in short, and says "I don't
know" where it has never been told; S works in steps and was never shown that; S-idk is S with the same
examples of it; R is S after outcome-only training on chains (the recipe online_rft). I, S and S-idk are
taught to state a confidence by the same targets: how often the base is right, on questions of the dev split.
Every step lies in a run's folder: a stopped experiment goes on, and ``sharpen calibrate`` reads it.
``tables.py`` reads the result.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from confidence_report import CHAIN, FACTS, NAMES, report
from launch import seconds_of, today, write

from sharpen.learn.config import LearnConfig, OptimizerConfig
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of_text
from sharpen.recipes import online_rft
from sharpen.recipes.execute import code_digest, execute
from sharpen.runs.config import load
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.runs.step import CHECKPOINTS, slug_of
from sharpen.sample.episode import Finish
from sharpen.sample.exact import environment
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.score.confidence import declines
from sharpen.tasks.facts import UNKNOWN, statement
from sharpen.tasks.task import Task, up_to
from sharpen.verbs.asking import Asking, Reward
from sharpen.verbs.run import Run
from sharpen.verbs.seeds import seed_folder, write_plan

READ = "chain:level=1,max_ops=12"
"""The chains of the base's text: longer than those of the exam."""
ASKING = {CHAIN: Asking(96), FACTS: Asking(40)}
JUDGE = Reward("stated:source")
PUBLISHED = SamplingLaw(temperature=0.6, top_p=0.95)
ALL = 1000
"""More facts than there are in a split."""
CHILDREN = ("I", "S", "S-idk", "R")


@dataclass(frozen=True)
class Plan:
    """Sizes. ``told_often``, ``told_rarely``: copies of a statement among the base's rows; ``asked``: of a
    question of train. ``rehearsed``, ``stated``: of a statement, and of a confidence in a fact, later."""

    told_often: int = 40
    told_rarely: int = 8
    asked: int = 4
    rehearsed: int = 2
    chains: int = 300
    base_steps: int = 700
    short_steps: int = 100
    child_steps: int = 40
    dev: int = 600
    base_samples: int = 8
    stated: int = 6
    confidence_steps: int = 60
    rl_queries: int = 384
    rl_steps: int = 15
    exam: int = 880
    some: int = 150
    plain: int = 300
    rivals: int = 80
    rival_samples: int = 4


TINY = Plan(2, 1, 1, 1, 20, 2, 2, 2, 8, 2, 1, 2, 8, 2, 12, 6, 6, 4, 2)


def rows(policy: Policy, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Prompts and what is to be said, the end token included."""
    ids: Any = policy.tokenizer.encode
    return [
        row_of_text(
            ids(prompt, add_special_tokens=False),
            ids(text, add_special_tokens=False),
            key=f"{i}",
            eos_id=policy.eos_ids[0],
        )
        for i, (prompt, text) in enumerate(pairs)
    ]


def told(run: Run, plan: Plan) -> list[tuple[str, str]]:
    """The base's text: statements of keys of every split, and questions of train, short and worked."""
    facts = run.source(FACTS)
    times = {"often": plan.told_often, "rarely": plan.told_rarely, "never": 0}
    pairs = [as_text(t) for t in known(run) for _ in range(times[t.data["seen"]])]
    for t in up_to(facts, "train", ALL):
        if t.data["seen"] != "never":
            pairs += [(str(t.prompt), text) for text in (worked(t), short(t))] * plan.asked
    return pairs + [(str(t.prompt), worked(t)) for t in run.source(READ).take("train", plan.chains)]


def known(run: Run) -> list[Task]:
    """Every key that the base may be told of, in all splits but nano's own."""
    return [t for split in ("train", "dev", "test") for t in up_to(run.source(FACTS), split, ALL)]


def as_text(task: Task) -> tuple[str, str]:
    """A statement: what it begins with, and what is learnt."""
    key = task.data["key"]
    return "\n" + key, statement(task).removeprefix(key)


def rehearsed(run: Run, plan: Plan) -> list[tuple[str, str]]:
    """What every child goes on reading, so that it forgets no fact that the base knew."""
    return [as_text(t) for t in known(run) if t.data["seen"] != "never" for _ in range(plan.rehearsed)]


def short(task: Task) -> str:
    """The answer alone."""
    return task.answer if task.answer == UNKNOWN else f"Answer: {task.answer}"


def worked(task: Task) -> str:
    """The answer with its steps."""
    assert task.solution is not None
    return task.solution


def examples(run: Run, plan: Plan, child: str) -> list[tuple[str, str]]:
    """What a child is tuned on: questions of train. Rows of never-told keys are those of I don't know."""
    say = short if child == "I" else worked
    facts = [t for t in up_to(run.source(FACTS), "train", ALL) if child != "S" or t.data["seen"] != "never"]
    chains = run.source(CHAIN).take("train", plan.chains)
    return [(str(t.prompt), say(t)) for t in [*facts, *chains]]


def teach(run: Run, policy: Policy, learnt: Sequence[Row], steps: int, lr: float, name: str) -> Policy:
    """All weights, one straight fall of the rate."""
    optimizer = OptimizerConfig(
        lr=lr, schedule="linear", warmup_steps=min(10, steps - 1), total_steps=steps, min_lr=lr / 10
    )
    config = LearnConfig(steps=steps, batch_rows=64)
    return run.learn(run.learner(policy, optimizer), list(learnt), config, name=name).policy


def held_out(run: Run, plan: Plan) -> dict[str, list[Task]]:
    """Questions of dev, on which confidence is taught."""
    return {CHAIN: run.source(CHAIN).take("dev", plan.dev), FACTS: up_to(run.source(FACTS), "dev", ALL)}


def targets(run: Run, base: Policy, plan: Plan) -> dict[str, int]:
    """Question -> how often the base is right, in tens of percent."""
    found = {}
    for source, tasks in held_out(run, plan).items():
        with run.scope(NAMES[source]):
            groups = run.sample(base, tasks, n=plan.base_samples, law=SamplingLaw(), asking=ASKING[source])
            groups = run.score(groups, JUDGE, tasks=source, name="targets")
        found |= {c.task.id: 10 * round(10 * float(c.correct.mean())) for c in groups.columns}
    return found


def confidence_rows(run: Run, policy: Policy, plan: Plan, wanted: dict[str, int]) -> list[Row]:
    """The child's own greedy answers, each followed by the target; declined ones stay as they are.

    The answers have weight too, so that the child goes on answering as it did."""
    ids: Any = policy.tokenizer.encode
    out = rows(policy, rehearsed(run, plan))
    for source, tasks in held_out(run, plan).items():
        with run.scope(NAMES[source]):
            groups = run.sample(policy, tasks, n=1, law=GREEDY, asking=ASKING[source])
        for group in groups:
            episode = group.episodes[0]
            if episode.finish is not Finish.EOS:
                continue
            level = "" if declines(episode.text) else f"\nConfidence: {wanted[group.task.id]}%"
            prompt, answer = episode.spans
            whole = [*answer.tokens[:-1].tolist(), *ids(level, add_special_tokens=False)]
            row = row_of_text(prompt.tokens, whole, key=episode.key, eos_id=policy.eos_ids[0])
            out += [row] * (plan.stated if source == FACTS else 1)
    return out


def exam(
    run: Run, policy: Policy, name: str, law: SamplingLaw, *, chains: int, facts: int = 0, n: int = 1
) -> None:
    """Answer so many of the test questions."""
    sources = {CHAIN: chains} | ({FACTS: facts} if facts else {})
    with run.scope(name):
        for source, wanted in sources.items():
            asked = up_to(run.source(source), "test", wanted)
            with run.scope(NAMES[source]):
                groups = run.sample(policy, asked, n=n, law=law, asking=ASKING[source])
                run.score(groups, JUDGE, tasks=source, name="exam")


def examine(run: Run, policy: Policy, plan: Plan) -> None:
    """The exam and its controls: other temperatures, several attempts, and answering at all costs."""
    exam(run, policy, "exam", PUBLISHED, chains=plan.exam, facts=ALL)
    for temperature in (0.0, 1.0):
        exam(run, policy, f"T{temperature:g}", SamplingLaw(temperature), chains=plan.some)
    exam(run, policy, "rivals", SamplingLaw(), chains=plan.rivals, n=plan.rival_samples)
    banned: Any = policy.tokenizer.encode(UNKNOWN[0], add_special_tokens=False)
    law = SamplingLaw(PUBLISHED.temperature, top_p=PUBLISHED.top_p, banned=tuple(banned))
    with run.scope("forced"):
        groups = run.sample(policy, up_to(run.source(FACTS), "test", ALL), n=1, law=law, asking=ASKING[FACTS])
        run.score(groups, JUDGE, tasks=FACTS, name="exam")


def checkpoint(folder: Path, otherwise: Path | None = None) -> Path:
    """The policy that the last learn step of a run made; ``otherwise`` where none learnt anything."""
    steps = read_manifest(folder).steps
    keys = [k for k, s in steps.items() if k.rpartition("/")[2].startswith("learn:") and s["checkpoints"]]
    if not keys and otherwise is not None:
        return otherwise
    return folder / CHECKPOINTS / slug_of(keys[-1]) / "final" / "policy"


def opened(folder: Path, seed: int) -> Journal:
    """The run's journal, begun or gone on with."""
    surroundings = {"code": code_digest(), "numerics": environment()}
    if (folder / "manifest.jsonl").exists():
        return Journal.open(folder, environment=surroundings)
    return Journal.create(folder, {"recipe": "confidence", "seed": seed, **surroundings}, "")


def make_base(folder: Path, base: str, plan: Plan) -> tuple[Path, dict[str, int]]:
    """The one base of all children and seeds, and the confidence that all are taught."""
    with opened(folder, 0) as journal:
        run = Run(journal, seed=0)
        policy = run.policy(base)
        policy = teach(run, policy, rows(policy, told(run, plan)), plan.base_steps, 4e-3, "base")
        wanted = targets(run, policy, plan)
    return checkpoint(folder), wanted


def children(folder: Path, base: Path, wanted: dict[str, int], seed: int, plan: Plan) -> None:
    """One seed: the children, taught and examined."""
    with opened(folder, seed) as journal:
        run = Run(journal, seed=seed)
        start = run.policy(str(base))
        for child in ("I", "S", "S-idk"):
            with run.scope(child):
                steps = plan.short_steps if child == "I" else plan.child_steps
                learnt = rows(start, [*examples(run, plan, child), *rehearsed(run, plan)])
                plain = teach(run, start, learnt, steps, 1e-3, "answers")
                exam(run, plain, "no-confidence", PUBLISHED, chains=plan.plain, facts=ALL)
                taught = confidence_rows(run, plain, plan, wanted)
                policy = teach(run, plain, taught, plan.confidence_steps, 4e-4, "confidence")
                examine(run, policy, plan)
        with run.scope("R"):
            examine(run, run.policy(str(outcome_trained(folder, seed, plan))), plan)


def outcome_trained(folder: Path, seed: int, plan: Plan) -> Path:
    """R: S after the recipe online_rft on chains, in a run of its own."""
    (key,) = [k for k, s in read_manifest(folder).steps.items() if k.startswith("S/learn") and
              s["name"] == "confidence"]  # fmt: skip
    start = folder / CHECKPOINTS / slug_of(key) / "final" / "policy"
    inner = folder.with_name(f"{folder.name}-R")
    settings = [f"model={start}", f"tasks={CHAIN}", "verifier=stated:source", "max_new_tokens=96",
                f"queries={plan.rl_queries}", f"pool={8 * plan.rl_queries}", f"steps={plan.rl_steps}",
                "optimizer.lr=1e-3", "optimizer.schedule=constant", "optimizer.warmup_steps=0",
                "optimizer.min_lr=0", "optimizer.total_steps=0", f"held_out={plan.some}",
                "held_out_sampled=1"]  # fmt: skip
    config = load(online_rft.Settings, None, settings)
    if not inner.with_suffix(".done").exists():
        execute("online_rft", config, inner, seed, resume=(inner / "manifest.jsonl").exists())
        inner.with_suffix(".done").touch()
    return checkpoint(inner, start)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="nano")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--tiny", action="store_true", help="sizes that show nothing, in seconds")
    args = parser.parse_args(argv)
    plan = TINY if args.tiny else Plan()
    folder = args.runs / args.base / "confidence"
    write_plan(folder, "confidence", range(args.seeds), "")
    base, wanted = make_base(folder / "base", args.base, plan)
    for seed in range(args.seeds):
        children(seed_folder(folder, seed), base, wanted, seed, plan)
        print(f"seed {seed} is done", flush=True)
    given = [f"--base={args.base}"] * (args.base != "nano") + [f"--seeds={args.seeds}"] * (args.seeds != 3)
    result = {
        "experiment": "confidence",
        "base": args.base,
        "checksum": read_manifest(folder / "base").steps["policy:0"]["result"]["version"],
        "command": shlex.join(["python", "experiments/confidence.py", *given]),
        "date": today(),
        "seeds": args.seeds,
        "plan": asdict(plan),
        "seconds": seconds_of(folder),
        **report(folder, args.seeds, CHILDREN),
    }
    write(args.results / f"confidence-{args.base}.json", result)


if __name__ == "__main__":
    main()
