"""Settings of a learn step."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sharpen.learn.optimizer import OptimizerConfig


class LoraConfig(BaseModel):
    """Low-rank adapters (arXiv 2106.09685): W + alpha / rank * B A, B starting at 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rank: Annotated[int, Field(gt=0)] = 8
    """Rank of B A."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Scale; the product is multiplied by alpha / rank."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, for instance q_proj; () takes all but the head."""


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
