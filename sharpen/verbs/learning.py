"""The verb ``learn``: rows and a state in, a new state out, its checkpoint on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.learn.config import LearnConfig
from sharpen.learn.learner import learn as train
from sharpen.learn.objective import Objective
from sharpen.learn.row import Row
from sharpen.learn.rows import kept_rows, row_of, row_of_text
from sharpen.learn.state import Partial, TrainState, load_partial, load_state, save_partial, save_state
from sharpen.measure.warnings import watch_ratios
from sharpen.runs import faults
from sharpen.runs.step import Step
from sharpen.sample.episode import Span
from sharpen.sample.policy import Adapter, Policy
from sharpen.select.preferences import Preference
from sharpen.select.selection import Selected, Selection
from sharpen.verbs.asking import Asking
from sharpen.verbs.sampling import prompt_of

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run

FINAL = "final"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chosen:
    """How rows were chosen: ``spec``, a step's input, and ``about``, numbers for its metrics."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def rows_of(policy: Policy, selection: Selection, asking: Asking) -> list[Row]:
    """The rows of a selection: sampled tokens as they were sampled, worked solutions encoded once.

    An attempt that was put under another question (STaR's rationalization) keeps its sampled tokens
    behind that question's prompt.
    """
    return [_row_of(policy, item, asking) for item in selection]


def pair_rows(policy: Policy, pairs: Iterable[Preference], asking: Asking) -> list[Row]:
    """Two rows a pair, side by side, as ``sharpen.learn.preference`` reads them."""
    rows = []
    for i, pair in enumerate(pairs):
        for item, preferred in ((pair.chosen, 1.0), (pair.rejected, 0.0)):
            scalars = {"preferred": preferred, "reward": item.score}
            rows.append(replace(_row_of(policy, item, asking), scalars=scalars, unit=f"pair-{i}"))
    return rows


def answer_rows(groups: Groups) -> list[Row]:
    """A row for each attempt of known verdict, of equal texts at a question the first, as
    ``sharpen.learn.kto`` reads them: ``desirable`` is whether it is right. Beside each, in one unit, stands
    the ``mismatched`` row of its answer under the next other question. Nothing where all are right, or none.
    """
    found = []
    for group, row in zip(groups, groups.columns, strict=True):
        first = {text: k for k, text in reversed(list(enumerate(row.texts)))}
        known = [k for k in sorted(first.values()) if not row.judged[k].status.unknown]
        found += [(row.task.id, group.episodes[k], row.judged[k].correct) for k in known]
    if len({right for *_, right in found}) < 2:
        return []
    rows = []
    for i, (task, episode, right) in enumerate(found):
        own = row_of(episode)
        rows.append(replace(own, scalars={"desirable": float(right)}, unit=f"answer-{i}"))
        later = (found[(i + k) % len(found)] for k in range(1, len(found)))
        other = next((e for name, e, _ in later if name != task), None)
        if other is not None:
            spans = (*(s for s in other.spans if s.sampled is None), *(s for s in episode.spans if s.sampled))
            odd = row_of(replace(episode, spans=spans))
            rows.append(replace(odd, scalars={"mismatched": 1.0}, unit=f"answer-{i}"))
    return rows


def _row_of(policy: Policy, item: Selected, asking: Asking) -> Row:
    episode = item.episode
    if episode is None:
        prompt = prompt_of(policy, item.task, asking).tokens
        text: Any = policy.tokenizer.encode(item.text, add_special_tokens=False)
        eos = policy.eos_ids[0] if policy.eos_ids else None
        return row_of_text(prompt, text, key=f"gold/{item.task.id}", eos_id=eos)
    if item.reprompted:
        span = Span("prompt", prompt_of(policy, item.task, asking).tokens)
        episode = replace(episode, spans=(span, *(s for s in episode.spans if s.role == "assistant")))
    return row_of(episode)


def rows_digest(rows: Sequence[Row]) -> str:
    """A hash of all that a learner reads of the rows."""
    h = hashlib.blake2b(digest_size=16)
    for row in rows:
        h.update(np.ascontiguousarray(row.tokens, dtype=np.int32).tobytes() + row.unit.encode() + b"\0")
        for name in sorted(row.arrays):
            h.update(name.encode() + np.ascontiguousarray(row.arrays[name], dtype=np.float32).tobytes())
        for name in sorted(row.scalars):
            h.update(name.encode() + float(row.scalars[name]).hex().encode())
        for ids in row.kept or ():
            h.update(b"-" if ids is None else len(ids).to_bytes(4, "little") + ids.tobytes())
    return h.hexdigest()


def learn(
    run: Run,
    state: TrainState,
    rows: Sequence[Row],
    config: LearnConfig,
    objective: Objective,
    *,
    chosen: Chosen,
    name: str,
) -> TrainState:
    """See ``Run.learn``."""
    rows, _ = kept_rows(rows, max_tokens=state.policy.context)
    inputs = {
        "policy": state.policy.version,
        "position": state.position,
        "optimizer": (config.optimizer or state.optimizer).model_dump(mode="json"),
        "selection": dict(chosen.spec),
        "learn": config.spec,
        "objective": objective.spec,
        "rows": rows_digest(rows),
        "seed": run.seed,
    }
    step = run.journal.begin("learn", inputs, name=name)
    if not rows:
        if step.result is None:
            step.finish({"version": state.policy.version, "rows": 0})
        run.warn([f"round {run.round}: nothing was selected, so nothing is learnt"])
        return state
    if run.round:
        run.made.append(step)
    if step.result is not None:
        step.drop_checkpoints([FINAL])  # in case the run was killed between finish and drop
        run.forget()
        return _stored(step, state, config)
    new, metrics = _train(run, step, state, rows, config, objective)
    counters = {"step": new.step, "position": new.position, "rows": len(rows)}
    row = {"name": name, "round": run.round, "rows": len(rows), **_summary(metrics)}
    row |= {f"selection_{k}": v for k, v in chosen.about.items()}
    step.finish({"version": new.policy.version, "digest": new.digest, **counters}, metrics=[row])
    step.drop_checkpoints([FINAL])  # not before: a killed run goes on from the last partial state
    run.forget()
    run.progress.end()
    run.progress.metrics(row)
    run.warn([warned.text for warned in watch_ratios(row)])
    return new


def _train(
    run: Run, step: Step, state: TrainState, rows: Sequence[Row], config: LearnConfig, objective: Objective
) -> tuple[TrainState, list[dict[str, float]]]:
    partial = _last_partial(step, state.policy)
    done = partial.done if partial else 0
    run.progress.begin(step.key, "learn", config.steps)
    run.progress.advance(done)
    known = run.bases.get(state.policy.base or state.policy.version, "")
    base = known and f"../../../{known}"  # from the folder of an adapter: step, tag, policy

    def watch(metrics: Mapping[str, float]) -> None:
        faults.point("learn.update.after")
        run.progress.advance(1, int(metrics["tokens"]))

    def save(so_far: Partial) -> None:
        tag = f"step-{so_far.done:06d}"
        step.checkpoint(tag, lambda folder: save_partial(so_far, folder, base))
        step.drop_checkpoints([tag, FINAL])

    new, metrics = train(
        state,
        rows,
        objective=objective,
        config=config,
        stream=step.stream(run.seed),
        start=partial,
        on_step=watch,
        save=save,
    )
    step.checkpoint(FINAL, lambda folder: save_state(new, folder, base))
    return new, metrics


def _last_partial(step: Step, before: Policy) -> Partial | None:
    """The newest whole partial state of this unfinished step, None where there is none."""
    for tag in reversed([t for t in step.checkpoints() if t != FINAL]):
        folder = step.load_checkpoint(tag)
        if folder is not None:
            return load_partial(folder, before)
    return None


def _summary(metrics: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What ``metrics.jsonl`` says of a learn step."""
    last = metrics[-1]
    return {
        "updates": len(metrics),
        "loss_first": metrics[0]["loss"],
        **{k: v for k, v in last.items() if k.startswith("loss") or k in ("grad_norm", "lr")},
        "tokens": sum(m["tokens"] for m in metrics),
        "targets": sum(m["targets"] for m in metrics),
        "losses": [m["loss"] for m in metrics],
        **_monitors(metrics),
    }


def _monitors(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What an objective monitors, over all updates of a step: the largest of a ``_max``, else the mean."""
    own = [k for k in metrics[-1] if k not in _ALWAYS and not k.startswith("loss/")]
    return {k: float((np.max if k.endswith("_max") else np.mean)([m[k] for m in metrics])) for k in own}


_ALWAYS = ("step", "loss", "grad_norm", "lr", "rows", "tokens", "targets")


class Lazy(Mapping[str, T]):
    """What is read from disk when first looked at: replaying many rounds loads only the last, and needs no
    checkpoint that was given up."""

    def __init__(self, load: Callable[[], Mapping[str, T]]) -> None:
        self._load = load
        self._held: Mapping[str, T] | None = None

    def _all(self) -> Mapping[str, T]:
        if self._held is None:
            self._held = self._load()
        return self._held

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def _stored(step: Step, before: TrainState, config: LearnConfig) -> TrainState:
    """The state that a finished learn step made."""
    assert step.result is not None
    held: list[TrainState] = []

    def load() -> TrainState:
        if not held:
            folder = step.load_checkpoint(FINAL)
            held.append(load_state(_present(step, folder), before.policy))
        return held[0]

    def adapter() -> Adapter:
        found = load().policy.adapter
        assert found is not None
        return found

    version = step.result["version"]
    if config.method == "lora":  # the weights under an adapter stay as they are
        lazy = Adapter(Lazy(lambda: adapter().config), Lazy(lambda: adapter().tensors))
        policy = before.policy.with_adapter(lazy, version)
    else:
        policy = replace(before.policy, version=version, weights=Lazy(lambda: load().policy.weights))
    return replace(
        before,
        policy=policy,
        optimizer=config.optimizer or before.optimizer,
        moments=Lazy(lambda: load().moments),
        step=step.result["step"],
        position=step.result["position"],
    )


def _present(step: Step, folder: Path | None) -> Path:
    if folder is None:
        raise SharpenError(
            f"{step.key}: its checkpoint is gone (dropped or damaged); `sharpen resume` recomputes it"
        )
    return folder
