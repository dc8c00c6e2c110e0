"""Strategies against a scripted model: the real desk, budgets and barrier; only the engine is fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sharpen.runs.streams import stream
from sharpen.sample.episode import Request
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy, load_policy
from sharpen.strategies import strategy
from sharpen.strategies.ask import Ask, Budget, Final, Session, attempt
from sharpen.strategies.question import Question
from sharpen.strategies.words import ENGLISH, Words
from sharpen.verbs.asking import Asking
from sharpen.verbs.desk import EngineDesk

Script = Callable[[str], str]
"""What the model replies to a prompt (prefill included)."""


@cache
def policy() -> Policy:
    """nano with room for long prompts: its tokenizer writes any ASCII text."""
    return replace(load_policy("nano"), context=8192)


@dataclass
class Played:
    """What one scripted question came to."""

    final: Final
    session: Session
    prompts: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.session.spent.calls


def play(
    text: str,
    script: Script | list[str],
    *,
    question: Question | None = None,
    budget: Budget | None = None,
    words: Words = ENGLISH,
    max_new_tokens: int = 200,
    helper: Policy | None = None,
) -> Played:
    """Run the strategy ``text`` on one question; a list is replied one by one, the last again and again."""
    prompts: list[str] = []

    def reply(request: Request) -> str:
        prompts.append(policy().tokenizer.decode(request.tokens))
        if callable(script):
            return script(prompts[-1])
        return script[min(len(prompts), len(script)) - 1]

    engine = FakeEngine(reply)
    desk = EngineDesk(
        engine, policy(), Asking(max_new_tokens=max_new_tokens), SamplingLaw(), stream(0, "ask"), "k", helper
    )
    chosen, session = strategy(text), Session(budget or Budget())
    ask = Ask(desk, question or asked(), words, session)
    final: Any = desk.run([attempt(chosen.flow, ask, chosen.settings)])[0]
    assert isinstance(final, Final), final
    return Played(final, session, prompts, engine.requests)


def asked(prompt: str = "How much is 9+9?\n", **tools: Any) -> Question:
    """A question with free-text answers."""
    return Question("q", prompt, **tools)


def answers(*given: str) -> list[str]:
    """Completions that give these answers; ``""`` gives none."""
    return [f"so it is.\nAnswer: {a}" if a else "no idea" for a in given]
