"""How good a judge is: its scores against gold ones, its reasons, and its verdicts on pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from sharpen.measure.choices import preferred
from sharpen.measure.likert import comparisons, consistency, likert
from sharpen.runs.streams import Stream, stream
from sharpen.sample.episode import Finish, Ids
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.tasks.ratings import MARKER, Choice, read_choice, read_score
from sharpen.tasks.task import Task, TaskSource
from sharpen.verbs import sampling
from sharpen.verbs.asking import Asking

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

Scores = list[int | None]
Place = tuple[int, int]


@runtime_checkable
class Judgeable(Protocol):
    """A source of responses that can be put in several ways."""

    def bare(self, task: Task) -> Task:
        """The task that asks for the verdict alone."""
        ...

    def sides(self, task: Task) -> tuple[Task, Task]:
        """Of a pair, each response to be graded alone; the better one first."""
        ...

    def exchanged(self, task: Task) -> Task:
        """The pair the other way round."""
        ...


@runtime_checkable
class Planted(Judgeable, Protocol):
    """A source of responses whose defects are known (``sharpen.tasks.grading``)."""

    def defects_named(self, task: Task, completion: str) -> tuple[set[Place], set[Place]]:
        """The defects that a judgment names, and those that are there."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a judge is tried on.

    Attributes:
        source: of the items; further measures where it is ``Judgeable``, and of reasons where ``Planted``.
        compared: the source of the pairs.
        items: responses to be graded; the answer is the gold score.
        asking: how they are put.
        law, votes: how often, and how, each is judged for the vote; 0: not at all.
        pairs: responses to be compared, by a score for each and directly in both orders.
    """

    source: TaskSource
    items: Sequence[Task]
    asking: Asking
    law: SamplingLaw
    votes: int = 0
    pairs: Sequence[Task] = ()
    compared: TaskSource | None = None


def scores_of(groups: Groups) -> list[Scores]:
    """What each judgment of each item says; None where nothing can be read, or the text did not end."""
    return [
        [
            None if finish is Finish.LENGTH else read_score(text)
            for text, finish in zip(c.texts, c.finish, strict=True)
        ]
        for c in groups.columns
    ]


def voted(scores: Sequence[int | None]) -> int | None:
    """The most frequent score, of equals the one that came first (self-consistency); None of nothing."""
    read = [s for s in scores if s is not None]
    return Counter(read).most_common(1)[0][0] if read else None


def try_judge(
    run: Run, policy: Policy, bench: Bench, *, about: Mapping[str, Any], name: str
) -> Mapping[str, Any]:
    """The rows ``judge`` (each item judged greedily), ``judge_vote`` (by vote of samples), ``judge_bare``
    (without reasons), ``judge_swapped`` (with another item's reasons), ``judge_pairs`` (a score for each
    side, and the verdict in both orders), as far as the bench has what they need; the first comes back.
    Warns of a judge that always says the same. Every judge of a run draws the same random numbers."""
    with run.scope(name), run.scope("held_out"):
        gold = [int(task.answer) for task in bench.items]
        greedy = _asked(run, policy, bench.items, bench, "greedy")
        said = [told[0] for told in scores_of(greedy)]
        planted = bench.source if isinstance(bench.source, Planted) else None
        judgeable = bench.source if isinstance(bench.source, Judgeable) else None
        rows = [
            ("judge", {**asdict(likert(gold, said)), **(_reasons(planted, greedy, said) if planted else {})})
        ]
        columns: dict[str, list[Any]] = {"task_id": [t.id for t in bench.items], "gold": gold, "greedy": said}
        if bench.votes:
            many = scores_of(_asked(run, policy, bench.items, bench, "sampled", bench.law, bench.votes))
            columns["vote"] = [voted(told) for told in many]
            means = [
                float(np.mean(read)) if (read := [s for s in told if s is not None]) else None
                for told in many
            ]
            row = {
                "votes": bench.votes,
                "consistency": consistency(many),
                **asdict(likert(gold, columns["vote"])),
            }
            rows.append(("judge_vote", {**row, "mean_pearson": likert(gold, means).pearson}))
        if judgeable:
            bare = _asked(run, policy, [judgeable.bare(t) for t in bench.items], bench, "bare")
            columns["bare"] = [told[0] for told in scores_of(bare)]
            rows.append(("judge_bare", asdict(likert(gold, columns["bare"]))))
            if MARKER not in bench.asking.prefill:  # else no reasons are written
                columns["swapped"] = _swapped(run, policy, bench, greedy)
                rows.append(("judge_swapped", asdict(likert(gold, columns["swapped"]))))
        pairs = bench.compared or bench.source
        if bench.pairs and isinstance(pairs, Judgeable):
            rows.append(("judge_pairs", _paired(run, policy, bench, pairs)))
        return _kept(run, [{"name": kind, "round": run.round, **about, **row} for kind, row in rows], columns)


def _asked(
    run: Run,
    policy: Policy,
    tasks: Sequence[Task],
    bench: Bench,
    name: str,
    law: SamplingLaw = GREEDY,
    n: int = 1,
    starts: Sequence[Ids] | None = None,
) -> Groups:
    names: Stream = stream(run.seed, "judging", name)
    return sampling.sample(
        run, policy, tasks, n=n, law=law, asking=bench.asking, name=name, starts=starts, streams=names
    )


def _reasons(planted: Planted, greedy: Groups, said: Scores) -> dict[str, Any]:
    """Of the defects named in all judgments the share that are there, of those that are there the share that
    is named, and the share of judgments whose score is not five less what they name."""
    named, true, hit, apart = 0, 0, 0, 0
    for c, score in zip(greedy.columns, said, strict=True):
        told, there = planted.defects_named(c.task, c.texts[0])
        named, true, hit = named + len(told), true + len(there), hit + len(told & there)
        apart += score is not None and score != 5 - len(told)
    return {
        "defects_precision": hit / named if named else None,
        "defects_recall": hit / true if true else None,
        "contradictory": apart / len(said),
    }


def _swapped(run: Run, policy: Policy, bench: Bench, greedy: Groups) -> Scores:
    """The scores that follow another item's reasons: where they are as good as those behind the own ones, the
    reasons are not used."""
    prefill = bench.asking.prefill
    texts = [c.texts[0].removeprefix(prefill).rpartition(MARKER)[0] for c in greedy.columns]
    others = [*texts[1:], texts[0]]
    encode = policy.tokenizer.encode
    starts = [np.array(encode(f"{text}{MARKER}", add_special_tokens=False), np.int32) for text in others]
    found = _asked(run, policy, bench.items, bench, "swapped", starts=starts)
    return [told[0] for told in scores_of(found)]


def _paired(run: Run, policy: Policy, bench: Bench, source: Judgeable) -> dict[str, Any]:
    sides = [side for task in bench.pairs for side in source.sides(task)]
    told = [s[0] for s in scores_of(_asked(run, policy, sides, bench, "sides"))]
    row = {f"scored_{k}": v for k, v in asdict(comparisons(told[::2], told[1::2])).items()}
    verdicts = []
    for name, tasks in (("given", bench.pairs), ("exchanged", [source.exchanged(t) for t in bench.pairs])):
        columns = _asked(run, policy, tasks, bench, name).columns
        whole = [c.finish[0] is not Finish.LENGTH for c in columns]
        verdicts.append([read_choice(c.texts[0]) if w else None for c, w in zip(columns, whole, strict=True)])
    gold: list[Choice] = ["A" if task.answer == "A" else "B" for task in bench.pairs]
    return {"pairs": len(gold), **row, **asdict(preferred(gold, verdicts[0], verdicts[1]))}


def _kept(run: Run, rows: list[dict[str, Any]], columns: Mapping[str, list[Any]]) -> Mapping[str, Any]:
    """Store the scores item by item, and tell the rows."""
    step = run.journal.begin("judging", {"rows": rows}, name="judging")
    if step.result is None:
        ints = {k: pa.array(v, pa.string() if k == "task_id" else pa.int8()) for k, v in columns.items()}
        step.write_unit(0, pa.table(ints))
        step.finish(rows[0], metrics=rows)
        for row in rows:
            run.progress.metrics(row)
    assert step.result is not None
    run.warn([text for row in rows if row.get("same") for text in [_constant(row, columns)]])
    return step.result


def _constant(row: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> str:
    where = row.get("on", "held-out")
    if row["name"] == "judge_pairs":
        letter = "first" if row["first"] else "second"
        return f"the judge prefers the {letter} response of every pair ({where}): it judges nothing"
    column = {"judge": "greedy", "judge_vote": "vote", "judge_bare": "bare"}.get(row["name"], "swapped")
    score = next(s for s in columns[column] if s is not None)
    return f"the judge ({row['name']}) gives {score} to every response ({where}): it judges nothing"
