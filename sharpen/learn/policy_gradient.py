"""Policy gradients: a surrogate of the expected reward, a divergence and an entropy term, composed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import SharpenError
from sharpen.learn.divergence import Estimator, as_loss, estimate
from sharpen.learn.row import Row
from sharpen.sample.law import SamplingLaw

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.learn.objective import Forward

Share = Annotated[float, Field(ge=0)]


class LossConfig(BaseModel):
    """A policy-gradient loss."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    surrogate: Literal["reinforce", "ppo"] = "ppo"
    """reinforce: -A log p; ppo: -min(r A, clip(r) A), r being new over old probability of a token."""
    clip_low: Annotated[float, Field(ge=0, le=1)] = 0.2
    """ppo: r is clipped from below at 1 - clip_low."""
    clip_high: Share = 0.2
    """ppo: r is clipped from above at 1 + clip_high (DAPO: 0.28)."""
    dual_clip: Share = 0.0
    """ppo: where A < 0 a token costs at most -dual_clip A (its authors: 3); 0 is off."""
    normaliser: Literal["tokens", "sequences", "constant"] = "tokens"
    """What the sum over tokens is divided by: all tokens of the update (DAPO), each attempt's own length and
    then the attempts (GRPO), or the attempts times a constant length (Dr. GRPO)."""
    length: Annotated[int, Field(ge=0)] = 0
    """normaliser=constant: that length, in tokens; 0: max_new_tokens."""
    kl_coef: Share = 0.0
    """Weight of the divergence from the base model; 0 is off."""
    kl_estimator: Estimator = "k3"
    """k1, k2 or k3, see docs/methods/policy_gradients.md."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Whether the divergence is a term of the loss, or taken off the reward."""
    entropy_coef: Share = 0.0
    """Weight of the mean entropy, which is made larger; 0 is off."""

    @property
    def penalised(self) -> bool:
        """Whether rewards have the divergence taken off."""
        return self.kl_coef > 0 and self.kl_in == "reward"

    @property
    def regularised(self) -> bool:
        """Whether the loss has a divergence term."""
        return self.kl_coef > 0 and self.kl_in == "loss"


@dataclass(frozen=True)
class PolicyGradient:
    """The loss ``LossConfig`` describes, for rows with the arrays ``weight``, ``old_logprob``, ``advantage``
    and, with a divergence term, ``ref_logprob``.

    Per token: ``-min(r A, clip(r) A)`` or ``-A log p``, times the row's weight. All probabilities are those
    of ``law``, the one that sampled; where it truncates, rows hold the kept sets, which are replayed.

    On the first update after sampling r is 1 and the value of the ppo surrogate is -A, but its gradient is
    that of ``-A log p``.

    Attributes:
        config: what is composed.
        law: how the rows were sampled.
        length: the constant of ``normaliser=constant`` where ``config.length`` is 0.

    Raises:
        SharpenError: a law that is greedy or penalises, or no length for the constant normaliser.
    """

    config: LossConfig
    law: SamplingLaw = field(default_factory=SamplingLaw)
    length: int = 0

    def __post_init__(self) -> None:
        if self.law.greedy or self.law.penalises:
            raise SharpenError(f"no policy gradient through this sampling law: {self.law.spec}")
        if self.config.normaliser == "constant" and not self._length:
            raise SharpenError("normaliser=constant needs a length")

    @property
    def name(self) -> str:
        """``policy_gradient``."""
        return "policy_gradient"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"name": self.name, **self.config.model_dump(), "length": self._length, "law": self.law.spec}

    @property
    def weights(self) -> Mapping[str, float]:
        """``policy``, and ``kl`` and ``entropy`` where they have a coefficient."""
        found = {"policy": 1.0}
        if self.config.regularised:
            found["kl"] = self.config.kl_coef
        if self.config.entropy_coef:
            found["entropy"] = -self.config.entropy_coef
        return found

    def denominators(self, rows: Sequence[Row]) -> dict[str, float]:
        """Of every term the same: tokens, attempts, or attempts times the constant length."""
        totals = np.array([row.weight for row in rows])
        n = float(totals.sum() if self.config.normaliser == "tokens" else np.count_nonzero(totals))
        if self.config.normaliser == "constant":
            n *= self._length
        return dict.fromkeys(self.weights, n)

    def __call__(self, forward: Forward, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The sums of a micro-batch; what ``monitors`` reads is noted on ``forward``."""
        scores = forward.scores(self.law)
        logprobs, entropy = scores.logprobs, scores.entropy
        advantage, gap = forward.array("advantage"), logprobs - forward.array("old_logprob")
        ratio = gap.exp()
        loss = -advantage * logprobs
        if self.config.surrogate == "ppo":
            loss, clipped = self._clipped(ratio, advantage)
            forward.note("clipped", clipped)
        forward.note("log_ratio", gap)
        forward.note("entropy", entropy)
        per_token = {"policy": loss, "entropy": entropy}
        if self.config.regularised:
            away = logprobs - forward.array("ref_logprob")
            per_token["kl"] = as_loss(self.config.kl_estimator, away)
            forward.note("away", away)
        scale = forward.array("weight")
        if self.config.normaliser == "sequences":
            lengths = scale.new_tensor([row.weight or 1.0 for row in rows])
            scale = scale / lengths[forward.row_index]
        return {term: (per_token[term] * scale).sum() for term in self.weights}

    def monitors(self, noted: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """Over the tokens of an update, before it: see docs/methods/policy_gradients.md.

        ``ratio_mean``, ``ratio_max``, ``ess`` (effective sample size of the ratios, as a share of the
        tokens), ``approx_kl`` (k3 of the policy that sampled from the one that learns), ``entropy``, and
        where there are such, ``clip_share`` (tokens whose gradient is clipped away) and ``kl`` (from the
        base model).
        """
        gap = noted["log_ratio"]
        ratio = np.exp(gap)
        found = {
            "ratio_mean": ratio.mean(),
            "ratio_max": ratio.max(),
            "ess": ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum()),
            "approx_kl": estimate("k3", -gap).mean(),
            "entropy": noted["entropy"].mean(),
        }
        if "clipped" in noted:
            found["clip_share"] = noted["clipped"].mean()
        if "away" in noted:
            found["kl"] = estimate(self.config.kl_estimator, noted["away"]).mean()
        return {name: float(value) for name, value in found.items()}

    def _clipped(self, ratio: Tensor, advantage: Tensor) -> tuple[Tensor, Tensor]:
        """The clipped surrogate (arXiv 1707.06347 eq. 7; dual: 1912.09729 eq. 5), and where the clip cuts the
        gradient off."""
        c = self.config
        plain = -advantage * ratio
        loss = plain.maximum(-advantage * ratio.clamp(1 - c.clip_low, 1 + c.clip_high))
        cut = ((advantage > 0) & (ratio > 1 + c.clip_high)) | ((advantage < 0) & (ratio < 1 - c.clip_low))
        if c.dual_clip:
            most = -advantage * c.dual_clip
            far = (advantage < 0) & (loss > most)
            loss, cut = most.where(far, loss), cut | far
        return loss, cut

    @property
    def _length(self) -> int:
        return self.config.length or self.length
