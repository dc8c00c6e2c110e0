"""The sampling law: one object that the engine samples by and the learner scores by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sharpen.errors import SharpenError


@dataclass(frozen=True, slots=True)
class SamplingLaw:
    """How next-token probabilities follow from logits.

    Order of application: banned/allowed tokens, penalties, temperature, top-k, top-p, min-p, then
    renormalisation over what is kept. Temperature 0 is greedy (argmax, lowest id wins ties).

    Attributes:
        temperature: >= 0; logits are divided by it.
        top_k: keep the k most probable tokens; 0 is off.
        top_p: keep the smallest set of most probable tokens whose mass reaches p; 1 is off.
        min_p: keep tokens with probability at least ``min_p`` times the largest; 0 is off.
        repetition_penalty: divide positive and multiply negative logits of tokens already in the
            sequence (prompt included); 1 is off (arXiv 1909.05858).
        presence_penalty, frequency_penalty: subtract from the logits of tokens already sampled, once
            or per occurrence; 0 is off.
        allowed: token ids that may be sampled; None allows all.
        banned: token ids that may not.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    allowed: tuple[int, ...] | None = None
    banned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks = {
            "temperature": self.temperature >= 0 and self.temperature < float("inf"),
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1,
            "min_p": 0 <= self.min_p <= 1,
            "repetition_penalty": self.repetition_penalty > 0,
            "allowed": self.allowed is None or len(self.allowed) > 0,
        }
        for name, fine in checks.items():
            if not fine:
                raise SharpenError(f"sampling law: {name}={getattr(self, name)!r} is out of range")

    @property
    def greedy(self) -> bool:
        """True at temperature 0."""
        return self.temperature == 0

    @property
    def truncates(self) -> bool:
        """True when some tokens get probability 0 by top-k, top-p or min-p (the kept set is then stored)."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    @property
    def penalises(self) -> bool:
        """True when the law depends on the tokens sampled so far."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: the fields that differ from the default law."""
        return {k: v for k, v in asdict(self).items() if v != _DEFAULTS[k]}


_DEFAULTS: dict[str, Any] = asdict(SamplingLaw())
GREEDY = SamplingLaw(temperature=0.0)
