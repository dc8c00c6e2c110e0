"""Learning from single answers that are wanted or not (KTO, arXiv 2402.01306)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import SharpenError
from sharpen.learn.row import Row

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.learn.objective import Forward


class KTOConfig(BaseModel):
    """A loss on single answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dear it is to leave the reference model."""
    desirable: Annotated[float, Field(gt=0)] = 1.0
    """Weight of a wanted answer. Its authors: times the number of wanted ones between 1 and 4/3 of the other
    weight times the number of unwanted ones."""
    undesirable: Annotated[float, Field(gt=0)] = 1.0
    """Weight of an unwanted answer."""


@dataclass(frozen=True)
class KTO:
    """A mean over answers of ``w (1 - sigmoid(+-beta (D - z)))``, + for a wanted one (2402.01306, eq. 8).

    ``D = log pi(y) - log ref(y)``. ``z`` stands for KL(pi, ref): the mean of D over answers to *other*
    questions, never below 0, without gradient, over the whole batch (the survey). Rows have the arrays
    ``weight`` and ``ref_logprob`` and the scalar ``desirable`` (1 or 0) or ``mismatched`` (1: an answer under
    another question's prompt, which the survey alone sees).
    """

    config: KTOConfig
    z: float = 0.0

    @property
    def name(self) -> str:
        """``kto``."""
        return "kto"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"name": self.name, **self.config.model_dump()}

    @property
    def weights(self) -> Mapping[str, float]:
        """One term, ``kto``."""
        return {"kto": 1.0}

    def surveyed_only(self, row: Row) -> bool:
        """Whether a row is mismatched."""
        return bool(row.scalars.get("mismatched"))

    def survey(self, forward: Forward, rows: Sequence[Row]) -> dict[str, float]:
        """Sum and number of the mismatched rows' gains, in nats."""
        gain = self._gain(forward)
        odd = gain.new_tensor([float(self.surveyed_only(r)) for r in rows])
        return {"gain": float((gain * odd).sum()), "n": float(odd.sum())}

    def surveyed(self, sums: Mapping[str, float]) -> KTO:
        """The loss with the batch's ``z``; 0 where no row is mismatched."""
        return replace(self, z=max(0.0, sums["gain"] / sums["n"]) if sums["n"] else 0.0)

    def denominators(self, rows: Sequence[Row]) -> dict[str, float]:
        """Answers."""
        return {"kto": float(len(rows))}

    def __call__(self, forward: Forward, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The summed loss of a micro-batch.

        Raises:
            SharpenError: a row that is neither wanted nor not.
        """
        gain = self._gain(forward)
        wanted = gain.new_tensor([_wanted(r) for r in rows])
        sign = 2 * wanted - 1
        scale = wanted * self.config.desirable + (1 - wanted) * self.config.undesirable
        forward.note("gain", gain)
        forward.note("wanted", wanted)
        forward.note("z", gain.new_full((1,), self.z))
        return {"kto": (scale * (1 - (sign * self.config.beta * (gain - self.z)).sigmoid())).sum()}

    def monitors(self, noted: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        """Over the answers of an update, before it: ``z``; ``chosen_gain`` and ``rejected_gain``: how much
        likelier than under the reference wanted and unwanted answers are, in nats."""
        gain, wanted = noted["gain"], noted["wanted"] > 0
        found = {"z": float(noted["z"][0])}
        for name, at in (("chosen_gain", wanted), ("rejected_gain", ~wanted)):
            if at.any():
                found[name] = float(gain[at].mean())
        return found

    def _gain(self, forward: Forward) -> Tensor:
        return forward.per_row((forward.logprobs() - forward.array("ref_logprob")) * forward.array("weight"))


def _wanted(row: Row) -> float:
    found = row.scalars.get("desirable")
    if found not in (0.0, 1.0):
        raise SharpenError(f"row {row.key!r}: 'desirable' is 1 or 0, not {found}")
    return found
