"""Settings of a learn step; no torch here, so that recipes hold them for free."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sharpen.learn.schedule import Schedule, learning_rate


class OptimizerConfig(BaseModel):
    """AdamW (arXiv 1711.05101) with clipping and a schedule.

    Weight decay touches matrices only: not embeddings (nor a head tied to one), norms and biases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    lr: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    """Highest learning rate."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay of the first and second moment."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of the second moment."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Each update first multiplies matrices by 1 - lr * weight_decay."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest global gradient norm; 0 is off."""
    schedule: Schedule = "constant"
    """Shape of the learning rate after the warm-up: constant, linear or cosine."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Updates over which the learning rate rises to lr."""
    total_steps: Annotated[int, Field(ge=0)] = 0
    """Updates after which linear and cosine have reached min_lr, over all learn steps of a state."""
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    """The floor of linear and cosine."""

    @model_validator(mode="after")
    def _falls(self) -> OptimizerConfig:
        if self.schedule != "constant" and self.total_steps <= self.warmup_steps:
            raise ValueError(f"schedule {self.schedule!r} needs total_steps > warmup_steps")
        return self

    def lr_at(self, position: int) -> float:
        """The learning rate of the update at schedule ``position`` (0 is the first)."""
        return learning_rate(
            position,
            schedule=self.schedule,
            lr=self.lr,
            min_lr=self.min_lr,
            warmup_steps=self.warmup_steps,
            total_steps=self.total_steps,
        )


def decaying(total_steps: int, lr: float = 2.2e-3) -> OptimizerConfig:
    """The default optimizer: a short warm-up, then a straight fall over ``total_steps`` updates to a floor
    that further rounds go on with."""
    return OptimizerConfig(lr=lr, min_lr=lr / 12, schedule="linear", warmup_steps=10, total_steps=total_steps)


class LoraConfig(BaseModel):
    """Low-rank adapters (arXiv 2106.09685): W + alpha / rank * B A, B starting at 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rank: Annotated[int, Field(gt=0)] = 8
    """Rank of B A."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Scale; the product is multiplied by alpha / rank."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, for instance q_proj; () takes all but the head."""


class CriticConfig(BaseModel):
    """A value function: a head on the base model's hidden states."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    width: Annotated[int, Field(ge=0)] = 64
    """Hidden units; 0 is linear."""
    epochs: Annotated[int, Field(gt=0)] = 4
    """Passes over a round's learnt tokens."""
    batch_tokens: Annotated[int, Field(gt=0)] = 512
    """Tokens per update of the head."""
    value_clip: Annotated[float, Field(ge=0)] = 0.2
    """A value gains nothing from moving further than this from the one that the advantages were made with;
    0 is off."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-3)
    """AdamW for the head; its moments start at 0 each round."""


class LearnConfig(BaseModel):
    """How one learn step trains."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    steps: Annotated[int, Field(gt=0)]
    """Optimizer updates."""
    batch_rows: Annotated[int, Field(gt=0)] = 32
    """Rows per update."""
    tokens_per_microbatch: Annotated[int, Field(gt=0)] = 4096
    """Tokens per forward and backward pass; changes speed, memory and rounding only."""
    optimizer: OptimizerConfig | None = None
    """Replaces the state's optimizer settings from here on; its moments and schedule position stay."""
    method: Literal["full", "lora"] = "full"
    """What is trained: all weights, or adapters on frozen ones."""
    lora: LoraConfig = LoraConfig()
    """The adapters, where method is lora and the policy has none yet."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping what an attention or MLP block adds to the residual stream."""
    save_every: Annotated[int, Field(ge=0)] = 0
    """Steps between saved partial states; 0 saves none."""

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: what can change the result."""
        return self.model_dump(mode="json", exclude={"save_every"})
