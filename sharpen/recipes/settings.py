"""Settings that many recipes have: what is asked, attempted, learnt and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from sharpen.learn.config import LearnConfig, LoraConfig, OptimizerConfig, decaying
from sharpen.runs.config import Config
from sharpen.sample.api_config import ApiConfig
from sharpen.sample.engines import EngineName, VllmConfig
from sharpen.sample.law import SamplingLaw
from sharpen.select.controls import Control
from sharpen.verbs.asking import Asking, Exam, Questions, Reward

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Answering(Config):
    """Put questions to a model, and have its answers judged."""

    model: str = "nano"
    """The base model: one by name (`sharpen list models`), or a local folder in the Hugging Face layout."""
    tasks: str = "order:level=1"
    """Where questions come from: a family with its parameters (countdown:level=3), reasoning_gym:NAME, or a
    file (jsonl:PATH)."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Sampling temperature of the attempts."""
    top_k: Count = 0
    """Keep the k likeliest tokens; 0 is off."""
    max_new_tokens: Positive = 64
    """Longest attempt, in tokens."""
    system: str = ""
    """System prompt."""
    prefill: str = ""
    """Text that every answer starts with."""
    template: Literal["auto", "chat", "plain"] = "auto"
    """How prompts are rendered: chat goes through the tokenizer's template, plain continues text."""
    few_shot: tuple[tuple[str, str], ...] = ()
    """Worked examples put before every question, each a question and its answer: what a base model needs that
    does not know the form."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer."""
    verifier: str = "source"
    """Who judges: source is the task source's own check; exact, number, choice, set, sequence and
    maths compare with the answer; code runs the task's tests;
    stated:NAME is NAME blind to a stated confidence, thought:NAME is NAME behind </think>; FILE.py:function
    (or module:function) is one of your own."""
    unsafe_local_exec: bool = False
    """Run code of a model (verifier=code) although a fork bomb cannot be held on this machine."""
    engine: EngineName = "native"
    """What samples."""
    vllm: VllmConfig = VllmConfig()
    """How vLLM is started, where it samples."""
    api: ApiConfig = ApiConfig()
    """The server, where one samples."""

    @property
    def law(self) -> SamplingLaw:
        """How attempts are sampled."""
        return SamplingLaw(temperature=self.temperature, top_k=self.top_k)

    @property
    def asking(self) -> Asking:
        """How a question becomes a prompt, and how long an answer may be."""
        return Asking(self.max_new_tokens, self.system, self.prefill, self.template, self.few_shot, self.stop)

    @property
    def reward(self) -> Reward:
        """Who judges the attempts."""
        return Reward(self.verifier, unsafe=self.unsafe_local_exec)


class Training(Answering):
    """Attempt questions, have the attempts judged, learn from them, try again."""

    rounds: Positive = 2
    """How often the loop runs."""
    pool: Positive = 16384
    """Distinct training questions; rounds walk through them, newly shuffled each time through."""
    queries: Positive = 8192
    """Questions attempted a round."""
    samples: Positive = 2
    """Attempts a question."""
    tokens_per_microbatch: Positive = 4096
    """Tokens per forward and backward pass: speed, memory and rounding only."""
    optimizer: OptimizerConfig = decaying(160)
    """AdamW and its schedule."""
    method: Literal["full", "lora"] = "lora"
    """Train low-rank adapters, or all weights."""
    lora: LoraConfig = LoraConfig(rank=4, alpha=8)
    """The adapters, where method is lora."""
    save_every: Count = 0
    """Updates between saved partial states inside a learn step; 0: only its end is saved."""
    held_out: Positive = 1000
    """Held-out questions, never trained on; answered greedily before the first round and after every one."""
    held_out_sampled: Positive = 256
    """So many of them, the first ones, are also answered at temperature 1."""
    held_out_samples: Positive = 4
    """Attempts at temperature 1 a question."""
    held_out_split: Literal["test", "dev"] = "test"
    """Which questions are held out: choose settings on dev, report test."""
    stop_on_warning: bool = False
    """Stop when a round's numbers say that the run is being fooled."""
    keep: Literal["all", "last", "best"] = "all"
    """Which rounds' checkpoints stay on disk; best is by held-out greedy accuracy."""

    TINY: ClassVar[Mapping[str, Any]] = {
        "rounds": 2,
        "pool": 32,
        "queries": 16,
        "samples": 4,
        "held_out": 12,
        "held_out_sampled": 8,
        "held_out_samples": 4,
        "max_new_tokens": 48,
    }

    @property
    def questions(self) -> Questions:
        """The training questions."""
        return Questions(self.tasks, self.pool, self.queries)

    @property
    def exam(self) -> Exam:
        """The held-out questions."""
        sampled = min(self.held_out, self.held_out_sampled)
        return Exam(self.tasks, self.held_out, sampled, self.held_out_samples, self.held_out_split)

    def trained(self, steps: int, batch_rows: int) -> LearnConfig:
        """How ``steps`` updates of ``batch_rows`` attempts each are made."""
        return LearnConfig(
            steps=steps,
            batch_rows=batch_rows,
            tokens_per_microbatch=self.tokens_per_microbatch,
            method=self.method,
            lora=self.lora,
            save_every=self.save_every,
        )

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan."""
        return {"training": self.rounds * self.queries * self.samples}

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        raise NotImplementedError

    def learnt(self) -> int:
        """Rows that the updates learn from, one for each time, at most; for the plan."""
        raise NotImplementedError

    def exams(self) -> int:
        """How often the exam is sat, for the plan."""
        return self.rounds + 1

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        attempts = self.sampled()
        exam = self.exam
        held_out = self.exams() * (exam.n + exam.sampled * exam.samples)
        total = sum(attempts.values()) + held_out
        return {
            "rounds": self.rounds,
            **{f"samples_{purpose}": n for purpose, n in attempts.items()},
            "samples_held_out": held_out,
            "samples": total,
            "tokens": total * self.max_new_tokens,
            "optimizer_steps": self.updates(),
            "rows_learnt": self.learnt(),
        }


class SelfTraining(Training):
    """Attempt questions, keep what a verifier accepts, learn from it, try again."""

    control: Control = "none"
    """What replaces the selected attempts, as a control with as many rows: shuffled permutes the rewards
    over all attempts of a round before selecting, random takes attempts of like lengths, blind to rewards."""
    steps: Positive = 80
    """Optimizer updates a round."""
    batch_rows: Positive = 64
    """Attempts per optimizer update."""

    TINY: ClassVar[Mapping[str, Any]] = {**Training.TINY, "steps": 3, "batch_rows": 8}

    def learning(self, steps: int | None = None) -> LearnConfig:
        """How a round learns."""
        return self.trained(steps or self.steps, self.batch_rows)

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return self.rounds * self.steps

    def learnt(self) -> int:
        """Rows that the updates learn from, for the plan."""
        return self.updates() * self.batch_rows
