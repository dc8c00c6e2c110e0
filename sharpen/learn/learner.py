"""Learning: rows and an objective turn one training state into another."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.batch import micro_batches, plan
from sharpen.learn.config import LearnConfig
from sharpen.learn.dropout import residual_dropout
from sharpen.learn.lora import adapter_of, with_lora
from sharpen.learn.objective import Forward, Monitors, Objective, Surveys
from sharpen.learn.optimizer import AdamW
from sharpen.learn.row import Row
from sharpen.learn.rows import check_rows
from sharpen.learn.state import Partial, TrainState
from sharpen.runs import faults
from sharpen.runs.streams import Stream
from sharpen.sample.policy import Policy, checksum
from sharpen.sample.policy import state as weights_of

Metrics = dict[str, float]


def learn(
    state: TrainState,
    rows: Sequence[Row],
    *,
    objective: Objective,
    config: LearnConfig,
    stream: Stream,
    start: Partial | None = None,
    on_step: Callable[[Metrics], None] | None = None,
    save: Callable[[Partial], None] | None = None,
) -> tuple[TrainState, list[Metrics]]:
    """Make ``config.steps`` updates; ``state`` and its tensors stay as they are.

    Update k sees a batch that is a pure function of (rows, stream, k), so a learn step that starts again
    from any saved partial gives the bits it would have given.

    Args:
        rows: what to learn from; visited in epochs, each permuted by ``stream.child("epoch", e)``.
        objective: what to minimise.
        stream: names the order of rows, new adapters' weights and dropout masks.
        start: a partial of this same learn step to go on from.
        on_step: called with each update's metrics.
        save: called with the partial state after every ``config.save_every`` updates.

    Returns:
        The new state, and the metrics of every update (those before ``start`` included): ``step`` (of the
        state's life, from 1), ``loss`` and ``loss/<term>`` (nats where the term is one; before the update),
        ``grad_norm`` (before clipping), ``lr``, ``rows``, ``tokens`` and ``targets`` (tokens with weight),
        and what the objective monitors.

    Raises:
        SharpenError: rows that cannot be learnt from, or settings that do not fit the state.
        NotFinite: a loss term, the gradient or a weight became NaN or infinite; names the step. Nothing
            has been overwritten.
    """
    check_rows(
        rows, vocabulary=state.policy.config.get_text_config().vocab_size, context=state.policy.context
    )
    begin = start or Partial(state)
    batches = plan(rows, stream, steps=config.steps, batch_rows=config.batch_rows)
    session = _Session(begin.state, config, stream)
    metrics = list(begin.metrics)
    for k in range(begin.done, config.steps):
        micro = micro_batches(rows, batches[k], tokens_per_microbatch=config.tokens_per_microbatch)
        metrics.append(session.step(k, [[rows[i] for i in m] for m in micro], objective))
        if on_step:
            on_step(metrics[-1])
        if save and config.save_every and (k + 1) % config.save_every == 0 and k + 1 < config.steps:
            save(Partial(session.state(), tuple(metrics)))
    return session.state(), metrics


def accumulate(
    module: PreTrainedModel,
    micro: Sequence[Sequence[Row]],
    objective: Objective,
    *,
    dropout: float = 0.0,
    stream: Stream | None = None,
) -> tuple[Metrics, Metrics]:
    """Add the gradient of the objective over one batch, given in micro-batches, to the module's.

    Returns:
        Each term's value over the whole batch, and what the objective monitors.

    Raises:
        NotFinite: a term is NaN or infinite; names it.
        SharpenError: a term's denominator is not positive.
    """
    if isinstance(objective, Surveys):
        objective, micro = _surveyed(module, micro, objective)
    denominators = objective.denominators([row for rows in micro for row in rows])
    for term, denominator in denominators.items():
        if not denominator > 0:
            raise SharpenError(
                f"{objective.name}: term {term!r} has denominator {denominator}; no weighted token?"
            )
    weights = objective.weights
    values = dict.fromkeys(denominators, 0.0)
    noted: dict[str, list[NDArray[np.float64]]] = {}
    for m, rows in enumerate(micro):
        masks = (stream or Stream(())).child("microbatch", m)
        with residual_dropout(module, dropout, masks):
            forward = Forward(module, rows, alike=not dropout)
            sums = objective(forward, rows)
        for name, seen in forward.noted.items():
            noted.setdefault(name, []).append(seen)
        for term, value in sums.items():
            values[term] += float(value.detach()) / denominators[term]
            if not math.isfinite(values[term]):
                raise NotFinite(f"{objective.name}: term {term!r} is {values[term]}")
        loss = torch.stack([v * (weights[t] / denominators[t]) for t, v in sums.items()]).sum()
        torch.autograd.backward(loss)
        faults.point("learn.microbatch")
    if not isinstance(objective, Monitors):
        return values, {}
    return values, objective.monitors({name: np.concatenate(parts) for name, parts in noted.items()})


def _surveyed(
    module: PreTrainedModel, micro: Sequence[Sequence[Row]], objective: Surveys
) -> tuple[Objective, list[list[Row]]]:
    """The objective for this batch, and what is to be learnt of it."""
    sums: Counter[str] = Counter()
    for rows in micro:
        with torch.no_grad():
            sums.update(objective.survey(Forward(module, rows), rows))
    learnt = [[row for row in rows if not objective.surveyed_only(row)] for rows in micro]
    return objective.surveyed(sums), [rows for rows in learnt if rows]


class _Session:
    """A private copy of the model with its optimizer, updated in place between two states."""

    def __init__(self, before: TrainState, config: LearnConfig, stream: Stream) -> None:
        self._before, self._config, self._stream = before, config, stream
        self._optimizer_config = config.optimizer or before.optimizer
        self._module, self._adapter_settings = _trainable(before.policy, config, stream)
        self._optimizer = AdamW(self._module, before.moments)
        self._updates = 0

    def step(self, k: int, micro: Sequence[Sequence[Row]], objective: Objective) -> Metrics:
        """Update number ``k`` of this learn step, on one batch in micro-batches."""
        rows = [row for part in micro for row in part]
        optimizer = self._optimizer
        optimizer.zero_grad()
        try:
            masks = self._stream.child("dropout", k)
            terms, seen = accumulate(
                self._module, micro, objective, dropout=self._config.dropout, stream=masks
            )
            norm = optimizer.grad_norm()
            lr = optimizer.update(self._optimizer_config, self._before.position + self._updates, norm)
        except NotFinite as error:
            raise NotFinite(f"learn stopped in step {k + 1} of {self._config.steps}: {error}") from None
        self._updates += 1
        return {
            "step": self._before.step + self._updates,
            "loss": sum(objective.weights[t] * v for t, v in terms.items()),
            **{f"loss/{t}": v for t, v in terms.items()},
            "grad_norm": norm,
            "lr": lr,
            "rows": len(rows),
            "tokens": sum(len(r.tokens) for r in rows),
            "targets": sum(int((r.arrays["weight"][1:] != 0).sum()) for r in rows),
            **seen,
        }

    def state(self) -> TrainState:
        """The state now: copies, so that later updates do not reach it."""
        before = self._before
        if self._adapter_settings is None:
            weights = {name: t.detach().clone() for name, t in weights_of(self._module).items()}
            policy = before.policy.with_weights(weights, "")
        else:
            policy = before.policy.with_adapter(adapter_of(self._module, self._adapter_settings), "")
        return TrainState(
            replace(policy, version=checksum(policy)),
            self._optimizer_config,
            self._optimizer.moments(),
            before.step + self._updates,
            before.position + self._updates,
            before.heads,
        )


def _trainable(
    policy: Policy, config: LearnConfig, stream: Stream
) -> tuple[PreTrainedModel, dict[str, Any] | None]:
    """A copy of the policy's model with what is to be trained marked, and adapter settings if any."""
    if config.method == "lora":
        return with_lora(policy, config.lora, stream.child("lora"))
    if policy.adapter is not None:
        raise SharpenError(f"policy {policy.name!r} has an adapter: train on with method=lora")
    return copy.deepcopy(policy.module()).requires_grad_(True), None
