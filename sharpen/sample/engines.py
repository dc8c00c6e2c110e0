"""Engines by name; only the one asked for is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sharpen.sample.api_config import ApiConfig

if TYPE_CHECKING:
    from sharpen.runs.tape import Tape
    from sharpen.sample.engine import Engine

EngineName = Literal["native", "vllm", "api"]


class VllmConfig(BaseModel):
    """How vLLM is started."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the sampling model; others than float32 are faster on GPUs and widen the log-probability gap."""
    batch: Annotated[int, Field(gt=0)] = 256
    """Completions sampled at a time."""
    max_model_len: Annotated[int, Field(gt=0)] = 8192
    """Longest prompt and answer together, in tokens, where the model itself takes more."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a GPU's memory that it takes for itself; the learner needs the rest."""


def make_engine(
    name: EngineName,
    *,
    vllm: VllmConfig | None = None,
    api: ApiConfig | None = None,
    tape: Tape | None = None,
    say: Callable[[str], None] | None = None,
) -> Engine:
    """The engine of this name.

    Args:
        tape: keeps what the ``api`` engine was answered.
        say: told of what a user should know.

    Raises:
        SharpenError: what it needs is not installed.
    """
    if name == "api":
        from sharpen.sample.api import ApiEngine

        return ApiEngine(api or ApiConfig(), tape, say=say)
    if name == "vllm":
        from sharpen.sample.vllm_engine import VllmEngine

        return VllmEngine(vllm or VllmConfig())
    from sharpen.sample.native import NativeEngine

    return NativeEngine()


def engine_versions(name: EngineName) -> dict[str, str]:
    """Versions of the packages that its numbers rest on, besides those of every run."""
    if name == "vllm":
        from sharpen.sample.vllm_engine import installed

        return installed()
    return {}
