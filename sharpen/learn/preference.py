"""Learning from pairs: two answers to one question, of which one is better, or better by so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import SharpenError
from sharpen.learn.row import Row

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.learn.objective import Forward

Share = Annotated[float, Field(ge=0)]


class PreferenceConfig(BaseModel):
    """A loss on pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["dpo", "ipo", "regression"] = "dpo"
    """dpo: the better one wins by a logistic model; ipo: the margin is drawn to 1 / (2 beta); regression: the
    margin is drawn to the difference of the rewards."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dear it is to leave the reference model."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """dpo: the share of pairs that are taken to be labelled the wrong way round."""
    length_normalised: bool = False
    """Log-probabilities are means over an answer's tokens instead of sums."""
    sft_coef: Share = 0.0
    """Weight of the cross-entropy of the better answers, over their own tokens; 0 is off."""
    optimism: Share = 0.0
    """Weight of the mean log-probability of the answers that the reference model sampled, which is made
    smaller (XPO); 0 is off."""

    @property
    def ranks(self) -> bool:
        """Whether it matters which answer of a pair is the better one."""
        return self.kind != "regression" or self.sft_coef > 0


def pair_loss(config: PreferenceConfig, margin: Tensor, gap: Tensor | None = None) -> Tensor:
    """The loss of each pair.

    With ``D(y) = log pi(y) - log ref(y)`` in nats and ``margin = D(first) - D(second)``:

    - dpo (arXiv 2305.18290 eq. 7; smoothed: ericmitchell.ai/cdpo.pdf):
      ``-(1 - e) log sigmoid(beta margin) - e log sigmoid(-beta margin)``;
    - ipo (2310.12036 eq. 17): ``(margin - 1 / (2 beta))^2``;
    - regression (2412.01951, RLHF-sharpening; 2404.16767): ``(beta margin - gap)^2``.

    Args:
        margin: ``(P,)``, the first answer of a pair being the better one, where that matters.
        gap: ``(P,)``, regression: the reward of the first less that of the second.
    """
    from torch.nn.functional import logsigmoid

    scaled = config.beta * margin
    if config.kind == "dpo":
        e = config.label_smoothing
        return -(1 - e) * logsigmoid(scaled) - e * logsigmoid(-scaled)
    if config.kind == "ipo":
        return (margin - 1 / (2 * config.beta)) ** 2
    assert gap is not None
    return (scaled - gap) ** 2


@dataclass(frozen=True)
class Preference:
    """The loss ``PreferenceConfig`` describes, a mean over pairs.

    The two rows of a pair share a ``unit`` and stand side by side; they have the arrays ``weight`` (0 on
    what the preference is not about) and ``ref_logprob``, and the scalars ``preferred`` (1 or 0; but for
    plain regression), ``reward`` (regression) and ``explored`` (1 where the reference sampled it; optimism).
    """

    config: PreferenceConfig

    @property
    def name(self) -> str:
        """``preference``."""
        return "preference"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"name": self.name, **self.config.model_dump()}

    @property
    def weights(self) -> Mapping[str, float]:
        """``preference``, and ``sft`` and ``optimism`` where they have a coefficient."""
        found = {"preference": 1.0}
        if self.config.sft_coef:
            found["sft"] = self.config.sft_coef
        if self.config.optimism:
            found["optimism"] = self.config.optimism
        return found

    def denominators(self, rows: Sequence[Row]) -> dict[str, float]:
        """Pairs; of ``sft`` the weighted tokens of the better answers, of ``optimism`` the reference's."""
        better = [r for r in rows if r.scalars.get("preferred")]
        counts = {
            "preference": len(rows) / 2,
            "sft": sum(r.weight for r in better),
            "optimism": sum(_scalar(r, "explored") for r in rows) if self.config.optimism else 0.0,
        }
        return {term: float(counts[term]) for term in self.weights}

    def __call__(self, forward: Forward, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The sums of a micro-batch; what ``monitors`` reads is noted on ``forward``.

        Raises:
            SharpenError: rows that are no pairs, or lack what the loss needs.
        """
        first, second = _sides(rows, self.config.ranks)
        scale, logprobs = forward.array("weight"), forward.logprobs()
        gain = forward.per_row((logprobs - forward.array("ref_logprob")) * scale)
        if self.config.length_normalised:
            gain = gain / gain.new_tensor([r.weight for r in rows])
        margin, gap = gain[first] - gain[second], None
        if self.config.kind == "regression":
            rewards = gain.new_tensor([_scalar(r, "reward") for r in rows])
            gap = rewards[first] - rewards[second]
        found = {"preference": pair_loss(self.config, margin, gap).sum()}
        whole = forward.per_row(logprobs * scale)
        if self.config.sft_coef:
            found["sft"] = -whole[first].sum()
        if self.config.optimism:
            found["optimism"] = (whole * whole.new_tensor([_scalar(r, "explored") for r in rows])).sum()
        forward.note("first", gain[first])
        forward.note("second", gain[second])
        forward.note("asked", gap if gap is not None else margin.new_ones(len(margin)))
        return found

    def monitors(self, noted: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """Over the pairs of an update, before it: ``reward_margin``, the mean of beta times the margin;
        ``reward_accuracy``, the share whose margin has the sign it should have (0 counts half; pairs of
        equal rewards not at all); ``chosen_gain`` and ``rejected_gain``, how much likelier than under the
        reference each answer is, in nats."""
        first, second, asked = noted["first"], noted["second"], noted["asked"]
        told = asked != 0
        hits = 0.5 + 0.5 * np.sign((first - second) * asked)[told]
        better = asked >= 0
        return {
            "reward_margin": float(self.config.beta * (first - second).mean()),
            **({"reward_accuracy": float(hits.mean())} if told.any() else {}),
            "chosen_gain": float(np.where(better, first, second).mean()),
            "rejected_gain": float(np.where(better, second, first).mean()),
        }


def _sides(rows: Sequence[Row], ranks: bool) -> tuple[list[int], list[int]]:
    """Places of the first and the second answer of each pair; the better one is the first."""
    first, second = [], []
    for i in range(0, len(rows), 2):
        two = rows[i : i + 2]
        if len(two) < 2 or not two[0].unit or two[0].unit != two[1].unit:
            raise SharpenError(f"row {two[0].key!r} has no partner: a pair is two rows of one unit")
        turned = False
        if ranks:
            a, b = (_scalar(row, "preferred") for row in two)
            if {a, b} != {0.0, 1.0}:
                raise SharpenError(f"pair {two[0].unit!r}: one of its answers is preferred, not {a} and {b}")
            turned = b == 1.0
        first.append(i + turned)
        second.append(i + 1 - turned)
    return first, second


def _scalar(row: Row, name: str) -> float:
    if name not in row.scalars:
        raise SharpenError(f"row {row.key!r} has no {name!r}")
    return row.scalars[name]
