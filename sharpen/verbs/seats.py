"""Who sits at a table: models, and scripts, of which a person is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sharpen.sample.dialogue import Memory
from sharpen.sample.engine import Engine
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.sample.text import Template


@dataclass(frozen=True, slots=True)
class Model:
    """A policy that takes a seat.

    Attributes:
        policy: its weights. law: how it samples.
        max_new_tokens: longest reply of a turn. tokens: all replies of a play together; 0 is no limit.
        learns: whether a learner may put weight on what it says.
        memory, system, template, prefill, stop: how a turn becomes a prompt, see ``Dialogue``.
        name: for people; by default the policy's version.
        engine: what samples it, where that is not the run's engine (an API model).
    """

    policy: Policy
    law: SamplingLaw = field(default_factory=SamplingLaw)
    max_new_tokens: int = 16
    tokens: int = 0
    learns: bool = True
    memory: Memory = "view"
    system: str = ""
    template: Template = "auto"
    prefill: str = ""
    stop: tuple[str, ...] = ()
    name: str = ""
    engine: Engine | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        fields = ("max_new_tokens", "tokens", "learns", "memory", "system", "template", "prefill")
        told = {f: getattr(self, f) for f in fields}
        engine = type(self.engine).__name__ if self.engine else ""
        return {
            "policy": self.policy.version,
            "law": self.law.spec,
            "stop": list(self.stop),
            **told,
            "engine": engine,
        }

    @property
    def called(self) -> str:
        """For people."""
        return self.name or self.policy.version[:8]


@dataclass(frozen=True, slots=True)
class Script:
    """A seat that is no model: ``fn(shown, state, rng)`` gives its reply, ``name`` is its identity. A person
    is one, too: what is said is stored and never asked for again."""

    name: str
    fn: Callable[[str, Any, np.random.Generator], str]

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"script": self.name}

    @property
    def called(self) -> str:
        """For people."""
        return self.name


Player = Model | Script


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` of a play, looked at before each turn of a model; 0 is no limit. A play that reaches it is
    another one on another day; what is stored stays."""

    seconds: float = 0.0
