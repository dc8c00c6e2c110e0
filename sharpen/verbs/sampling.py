"""The verb ``sample``: attempts at a list of tasks, cut into units that are stored one by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sharpen.errors import SharpenError
from sharpen.runs.step import Step
from sharpen.runs.streams import Stream
from sharpen.sample.episode import Completion, Episode, Finish, Ids, Request, Span
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.sample.text import Rendered, decode, render
from sharpen.score.group import Groups
from sharpen.score.table import episodes_to_table, table_to_episodes, table_unit
from sharpen.tasks.task import Task, is_hidden
from sharpen.verbs.agreement import CHECKED, agreement
from sharpen.verbs.asking import Asking

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

# A unit is what a crash can cost. Large enough that the batch drains rarely, small enough to lose.
UNIT_REQUESTS = 2048


def round_of(pool: Sequence[Task], n: int, r: int, names: Stream) -> list[Task]:
    """Round ``r``'s (from 1) ``n`` tasks of an endless walk through the pool, shuffled anew each time
    through. A pure function of (pool, n, r, names): rounds need no cursor."""
    chosen, order = [], np.zeros(0, np.int64)
    for i in range((r - 1) * n, r * n):
        epoch, place = divmod(i, len(pool))
        if place == 0 or not chosen:
            order = names.child("epoch", epoch).generator().permutation(len(pool))
        chosen.append(pool[int(order[place])])
    return chosen


def tasks_digest(tasks: Sequence[Task]) -> str:
    """A hash of what is asked and of its gold."""
    # what is hidden from a method is no input of it either
    rows = [[t.id, t.prompt, *(() if is_hidden(t) else (t.answer, dict(t.data)))] for t in tasks]
    return hashlib.blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=16).hexdigest()


def units(n_tasks: int, n: int) -> list[range]:
    """Positions of each unit's tasks."""
    size = max(1, UNIT_REQUESTS // n)
    return [range(start, min(start + size, n_tasks)) for start in range(0, n_tasks, size)]


def sample(
    run: Run,
    policy: Policy,
    tasks: Sequence[Task],
    *,
    n: int,
    law: SamplingLaw,
    asking: Asking,
    name: str,
    starts: Sequence[Ids] | None = None,
    streams: Stream | None = None,
) -> Groups:
    """See ``Run.sample``. ``starts`` gives each task's answer its first tokens, already ids; ``streams`` is
    what the attempts' random streams are children of, the step's own by default."""
    inputs: dict[str, Any] = {
        "policy": policy.version,
        "law": law.spec,
        "n": n,
        "asking": asking.spec,
        "tasks": tasks_digest(tasks),
        "engine": type(run.engine).__name__,
        "seed": run.seed,
    }
    if starts is not None:
        inputs["starts"] = hashlib.blake2b(
            b"".join(s.tobytes() + b"|" for s in starts), digest_size=16
        ).hexdigest()
    if streams is not None:
        inputs["streams"] = list(streams.names)
    step = run.journal.begin("sample", inputs, name=name)
    parts = units(len(tasks), n)
    if step.result is None:
        run.progress.begin(step.key, "sample", len(tasks) * n)
        tokens, told = 0, {}
        for i, part in enumerate(parts):
            stored = step.unit(i)
            fresh = stored is None
            if stored is None:
                prompts = [prompt_of(policy, tasks[k], asking, starts[k] if starts else None) for k in part]
                asked = [tasks[k] for k in part]
                below = streams or step.stream(run.seed)
                episodes = _attempt(run, step, policy, asked, prompts, n, law, asking, below)
                stored = episodes_to_table(episodes)
                run.progress.rollout(prompts[0].text, episodes[0].text, None)
            if i == 0:  # before anything is stored that other weights sampled
                first = table_to_episodes(stored.slice(0, CHECKED))
                gap = agreement(run.engine, policy, law, first)
                told = {} if gap is None else {"logprob_gap": gap}
            if fresh:
                step.write_unit(i, stored)
            tokens += sum(stored["n_sampled"].to_pylist())
        step.finish({"samples": len(tasks) * n, "tokens": tokens, **told})
        run.progress.end()
    return stored_groups(step, tasks, parts)


def stored_groups(step: Step, tasks: Sequence[Task], parts: Sequence[range]) -> Groups:
    """A finished sample step's groups, read when asked for."""

    held = [table_unit([tasks[k] for k in part], partial(read_unit, step, i)) for i, part in enumerate(parts)]
    groups = Groups.from_units(held)
    groups.origin = {"step": step.key, "inputs": step.inputs_digest}
    return groups


def read_unit(step: Step, i: int, columns: list[str] | None) -> pa.Table:
    """A finished step's unit, or its named columns. SharpenError where it was damaged."""
    table = step.unit(i)
    if table is None:
        raise SharpenError(f"{step.key}: unit {i} was damaged; `sharpen resume` recomputes it")
    return table if columns is None else table.select(columns)


def _attempt(
    run: Run,
    step: Step,
    policy: Policy,
    tasks: Sequence[Task],
    prompts: Sequence[Rendered],
    n: int,
    law: SamplingLaw,
    asking: Asking,
    streams: Stream,
) -> list[Episode]:
    """``n`` episodes of each task, in order."""
    requests = [
        # seat "" and turn 0: a one-turn completion is the simplest episode
        Request(
            p.tokens, streams.child(t.id, k, "", 0), law, asking.max_new_tokens, policy.eos_ids, asking.stop
        )
        for t, p in zip(tasks, prompts, strict=True)
        for k in range(n)
    ]
    seen = [0, 0]

    def watch(tokens: int, finished: int) -> None:
        run.progress.advance(finished - seen[1], tokens - seen[0])
        seen[:] = tokens, finished

    completions = run.engine.generate(policy, requests, on_progress=watch)
    episodes = []
    for i, completion in enumerate(completions):
        task, k = tasks[i // n], i % n
        key = f"{step.key}/{task.id}/{k}"
        episodes.append(episode_of(policy, prompts[i // n], completion, key, task.id, k))
    return episodes


def episode_of(
    policy: Policy, rendered: Rendered, done: Completion, key: str, task_id: str, sample: int
) -> Episode:
    """A one-turn completion as an episode: prompt, prefill where there is one, what was sampled."""
    cut = rendered.prefill_start
    spans = [Span("prompt", rendered.tokens[:cut])]
    if cut < len(rendered.tokens):
        spans.append(Span("prefill", rendered.tokens[cut:]))
    spans.append(Span("assistant", done.tokens, trainable=True, sampled=done, version=policy.version))
    body = done.tokens[:-1] if done.finish is Finish.EOS else done.tokens
    text = decode(policy.tokenizer, body)
    return Episode(key, task_id, sample, tuple(spans), done.finish, text, rendered.prefill)


def prompt_of(policy: Policy, task: Task, asking: Asking, start: Ids | None = None) -> Rendered:
    """The task's prompt as ids; ``start`` are ids that its answer begins with, a prefill."""
    rendered = render(
        policy.tokenizer,
        task.prompt,
        system=asking.system or None,
        few_shot=asking.few_shot,
        prefill=asking.prefill or None,
        template=asking.template,
    )
    if start is None or not len(start):
        return rendered
    said = decode(policy.tokenizer, start)
    return replace(
        rendered,
        tokens=np.concatenate([rendered.tokens, start]),
        text=rendered.text + said,
        prefill=rendered.prefill + said,
    )
