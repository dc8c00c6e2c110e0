"""What is minimised: named terms, each a sum over a denominator fixed before the batch is split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from sharpen.errors import SharpenError
from sharpen.learn.row import Row
from sharpen.learn.rows import distinct, laid
from sharpen.sample.episode import Ids
from sharpen.sample.forward import CHUNK, TokenScores, head_logits, packed_hidden, token_scores
from sharpen.sample.law import SamplingLaw


class Objective(Protocol):
    """A loss. The learner minimises ``sum over terms of weights[t] * sum_t / denominator_t``.

    ``denominators`` sees the whole logical batch, ``__call__`` one micro-batch of it, so how a batch is
    split cannot change the loss. Statistics of the batch (whitening, baselines) are computed earlier and
    come as arrays of the rows.
    """

    @property
    def name(self) -> str:
        """Short name, for messages."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: a step's input."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """The factor of each term in the loss."""
        ...

    def denominators(self, rows: Sequence[Row]) -> dict[str, float]:
        """The denominator of each term over the whole batch ``rows``, > 0."""
        ...

    def __call__(self, forward: Forward, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The sum of each term over the micro-batch ``rows``: scalars, differentiable."""
        ...


@runtime_checkable
class Monitors(Protocol):
    """An objective that also tells what it saw, without gradient."""

    def monitors(self, noted: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """Numbers for an update's metrics, from what was noted (``Forward.note``) of all its targets."""
        ...


@runtime_checkable
class Surveys(Protocol):
    """An objective with a number that the policy being trained says of the whole batch, without gradient and
    before anything is learnt of it."""

    def surveyed_only(self, row: Row) -> bool:
        """Whether a row is for the survey alone, and not learnt."""
        ...

    def survey(self, forward: Forward, rows: Sequence[Row]) -> dict[str, float]:
        """Sums over a micro-batch."""
        ...

    def surveyed(self, sums: Mapping[str, float]) -> Objective:
        """The objective for this batch, given the sums over all of it."""
        ...


class Forward:
    """What a model says of a micro-batch, computed when asked for.

    Its *targets* are the S tokens with weight other than 0 that have a token before them, in row order;
    every ``(S,)`` tensor below is aligned with them. Tokens without weight are never scored, so nothing
    about them can leak into a loss. Rows of the same tokens go through the model once, and so does a prompt
    that several rows begin with; ``alike`` false is for a model with dropout, where each row has masks of
    its own.
    """

    def __init__(self, module: PreTrainedModel, rows: Sequence[Row], *, alike: bool = True) -> None:
        parameter = next(module.parameters())
        self._module, self._rows = module, rows
        self._dtype, self._device = parameter.dtype, parameter.device
        once, places = distinct(rows) if alike else (rows, range(len(rows)))
        self._laid = laid(once, shared=alike)
        where = [np.flatnonzero(r.arrays["weight"][1:]) + 1 for r in rows]
        self._where = where
        self.noted: dict[str, NDArray[np.float64]] = {}
        before = [self._laid.places(i, w - 1) for i, w in zip(places, where, strict=True)]
        self._states = self._tensor(np.concatenate(before))
        self.targets: Tensor = self._tensor(
            np.concatenate([r.tokens[w] for r, w in zip(rows, where, strict=True)])
        )
        """Target ids, int64 ``(S,)``."""
        self.row_index: Tensor = self._tensor(np.repeat(np.arange(len(rows)), [len(w) for w in where]))
        """The row, by its place in the micro-batch, of each target, int64 ``(S,)``."""

    @cached_property
    def hidden(self) -> Tensor:
        """Final hidden states of all tokens, each computed once, ``(sum T, H)``; see ``Laid``."""
        sequences = [self._tensor(tokens) for tokens in self._laid.sequences]
        return packed_hidden(self._module, sequences, self._laid.parents)

    def array(self, name: str) -> Tensor:
        """The rows' array ``name`` at the targets, ``(S,)`` in the model's dtype.

        Raises:
            SharpenError: a row has none, as where an engine did not tell log-probabilities.
        """
        if any(name not in r.arrays for r in self._rows):
            raise SharpenError(f"a row has no {name!r}: the engine that sampled it did not tell it")
        values = np.concatenate([r.arrays[name][w] for r, w in zip(self._rows, self._where, strict=True)])
        return torch.as_tensor(values, dtype=self._dtype, device=self._device)

    def logprobs(self, law: SamplingLaw | None = None) -> Tensor:
        """Log-probabilities of the targets under ``law`` (default: the model itself), nats, ``(S,)``.

        Raises:
            SharpenError: see ``scores``.
        """
        law = law or SamplingLaw()
        if law.spec:
            return self.scores(law).logprobs
        # cross-entropy alone: the fused kernel, without the signals that `token_scores` also makes
        size = max(1, CHUNK // self._module.config.get_text_config().vocab_size)
        before = self._before
        if len(before) <= size:
            return _logprobs(self._module, before, self.targets)
        parts = [
            checkpoint(_logprobs, self._module, h, t, use_reentrant=False, preserve_rng_state=False)
            for h, t in zip(before.split(size), self.targets.split(size), strict=True)
        ]
        return torch.cat(parts)  # type: ignore[arg-type]

    def entropy(self) -> Tensor:
        """Entropy of the model's next-token distribution at the targets, nats, ``(S,)``."""
        return self.scores().entropy

    def scores(self, law: SamplingLaw | None = None) -> TokenScores:
        """Log-probabilities of the targets under ``law`` and the model, and its entropy, ``(S,)`` each. A law
        that truncates has the rows' kept sets replayed.

        Raises:
            SharpenError: the law is greedy or penalises, or it truncates and a row has no kept sets.
        """
        law = law or SamplingLaw()
        if law.greedy or law.penalises:
            raise SharpenError(f"no gradient through this sampling law: {law.spec}")
        kept = self._kept() if law.truncates else None
        return token_scores(self._module, self._before, self.targets, law, kept)

    def note(self, name: str, values: Tensor) -> None:
        """Keep ``(S,)`` values, without gradient, for the objective's ``monitors``."""
        self.noted[name] = values.detach().double().cpu().numpy()

    def per_row(self, values: Tensor) -> Tensor:
        """Sums of ``(S,)`` values over each row, ``(R,)``."""
        return values.new_zeros(len(self._rows)).index_add(0, self.row_index, values)

    @cached_property
    def _before(self) -> Tensor:
        """The hidden state before each target, ``(S, H)``."""
        return self.hidden.index_select(0, self._states)

    def _kept(self) -> list[Ids | None]:
        found: list[Ids | None] = []
        for row, where in zip(self._rows, self._where, strict=True):
            if row.kept is None:
                raise SharpenError(f"row {row.key!r} has no kept sets, which its truncating law asks for")
            found += [row.kept[t] for t in where]
        return found

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self._device)


def _logprobs(module: PreTrainedModel, hidden: Tensor, targets: Tensor) -> Tensor:
    return -nn.functional.cross_entropy(head_logits(module, hidden), targets, reduction="none")
