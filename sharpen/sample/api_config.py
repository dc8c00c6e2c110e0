"""Settings of the api engine; no torch here, so that recipes hold them for free."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sharpen.errors import SharpenError
from sharpen.runs.config import Config

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class ApiConfig(Config):
    """A server that speaks OpenAI's completions protocol, what it may be asked and what it may cost."""

    url: str = "http://127.0.0.1:8000/v1"
    """Where the server is, up to and with /v1."""
    model: str = ""
    """The model's name there."""
    key_variable: str = ""
    """Name of the environment variable that holds the key (never the key itself); empty: no key."""
    concurrency: Annotated[int, Field(ge=1)] = 32
    """Requests in flight at once."""
    retries: Count = 6
    """Further tries of a request that got no answer, each after a longer pause."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    """Seconds that one answer may take, the server's queue included."""
    max_requests: Count = 0
    """Requests that a run may send, tries included; 0: no limit."""
    max_tokens: Count = 0
    """Tokens that a run may use, those of prompts included; 0: no limit."""
    price_prompt: Amount = 0.0
    """Price of a million prompt tokens."""
    price_sampled: Amount = 0.0
    """Price of a million sampled tokens."""
    max_cost: Amount = 0.0
    """What a run may cost at these prices; 0: no limit."""
    tokens: Literal["ids", "text"] = "ids"
    """How prompts go and answers come: ids are token ids (vLLM); text is for servers that take text
    only, whose log-probabilities are then unknown."""
    logprobs: Literal["raw", "processed", "none"] = "raw"
    """What the server's log-probabilities mean: raw ones are the model's own (vLLM's default), processed
    ones are after temperature, cuts and penalties; none are not asked for."""
    weights: Literal["fixed", "lora", "reload"] = "fixed"
    """How new weights reach the server: fixed ones do not, and a policy that has learnt is refused; lora
    loads the policy's adapter; reload has vLLM load all weights again (VLLM_SERVER_DEV_MODE=1)."""
    folder: str = ""
    """Where adapters or weights are written for the server to read; empty: a temporary folder of this
    machine."""
    rounding: Amount = 0.05
    """How far the server's log-probabilities may be from the policy's own, mean over tokens, nats: 0.05
    suits a server that computes in bfloat16, 0.001 one in float32."""

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        # not a ValueError, whose message would repeat the value
        if parts.username or parts.password or parts.query or parts.fragment:
            raise SharpenError("api.url holds a user name, password or query: secrets belong in key_variable")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("http://HOST:PORT/v1 or https://HOST/v1 is needed")
        return url.rstrip("/")

    @field_validator("key_variable")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if name and not _VARIABLE.fullmatch(name):
            raise SharpenError(
                "api.key_variable is the NAME of an environment variable, in capitals (OPENAI_API_KEY), "
                "and never the key itself"
            )
        return name

    @model_validator(mode="after")
    def _consistent(self) -> ApiConfig:
        if self.max_cost and not (self.price_prompt or self.price_sampled):
            raise ValueError("max_cost needs price_prompt or price_sampled")
        if self.tokens == "text" and self.weights != "fixed":
            raise ValueError(f"weights = {self.weights!r} needs tokens = 'ids'")
        return self
