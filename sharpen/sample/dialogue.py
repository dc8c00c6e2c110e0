"""One agent's side of a play, token by token: what it is shown becomes ids once and stays as it was.

A next turn continues the ids so far, sampled ones included, where the template only adds to what it made of
the turns before. A template that rewrites them (drops earlier thinking, say) begins a new sequence instead:
each sequence is then what the model saw, and none is ever encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from sharpen.sample.episode import Completion, Finish, Ids, Span
from sharpen.sample.text import Rendered, Template, control_tokens, decode, render
from sharpen.tasks.task import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Memory = Literal["view", "whole"]
"""``view``: every turn is a prompt of its own, and what is shown says all that the seat may remember (SPIRAL,
arXiv 2506.24119). ``whole``: what was shown and said stays in the prompt."""


@dataclass(eq=False)
class Dialogue:
    """The spans of one seat.

    Args:
        tokenizer: the policy's. eos_ids: what ends its replies.
        seat: whose spans these are.
        memory: see ``Memory``.
        system, template, prefill: see ``sharpen.sample.text.render``; each turn begins with the prefill.
    """

    tokenizer: PreTrainedTokenizerBase
    eos_ids: Sequence[int]
    seat: str = ""
    memory: Memory = "view"
    system: str = ""
    template: Template = "auto"
    prefill: str = ""
    spans: list[Span] = field(default_factory=list)
    forks: int = 0
    """How often a turn began a new sequence although the whole dialogue was to be continued."""
    _told: list[Message] = field(default_factory=list)
    _text: str = ""  # of the sequence so far

    def show(self, shown: str, turn: int) -> Ids:
        """The ids that the engine continues: the sequence so far with ``shown`` as its next turn."""
        if self.memory == "view":
            self._told, self._text = [], ""
        self._told.append(Message(role="user", content=shown))
        if self._text:
            text = self._continued(shown)
            if text.startswith(self._text):
                ids = self.tokenizer.encode(text[len(self._text) :], add_special_tokens=False)
                self.spans.append(Span("env", np.array(ids, np.int32), seat=self.seat, turn=turn))
                self._text = text
                return np.concatenate([s.tokens for s in self.sequence])
            self.forks += 1
        rendered = self._render(shown if self._plain else tuple(self._told))
        at = rendered.prefill_start
        self.spans.append(Span("prompt", rendered.tokens[:at], seat=self.seat, turn=turn))
        if at < len(rendered.tokens):
            self.spans.append(Span("prefill", rendered.tokens[at:], seat=self.seat, turn=turn))
        self._text = rendered.text
        return rendered.tokens

    def say(self, done: Completion, *, version: str, trainable: bool) -> str:
        """Add what was sampled; its text with the prefill, without the end token."""
        span = Span("assistant", done.tokens, trainable, self.seat, done, version, self.spans[-1].turn)
        return self._reply(span, self.eos_ids if done.finish is Finish.EOS else ())

    def write(self, tokens: Ids) -> str:
        """Add a reply that is given and not sampled here, its end token included; its text with the
        prefill."""
        turn = self.spans[-1].turn
        return self._reply(Span("assistant", tokens, seat=self.seat, turn=turn), self.eos_ids)

    def _reply(self, span: Span, eos_ids: Sequence[int]) -> str:
        before = np.concatenate([s.tokens for s in self.sequence])
        self.spans.append(span)
        self._text += decode(self.tokenizer, span.tokens, after=before)
        text = self.prefill + decode(self.tokenizer, span.tokens, eos_ids=eos_ids, after=before)
        self._told.append(Message(role="assistant", content=self._harmless(text)))
        return text

    @property
    def sequence(self) -> list[Span]:
        """The spans of the sequence that is being continued."""
        start = max(i for i, s in enumerate(self.spans) if s.role == "prompt")
        return self.spans[start:]

    @property
    def _plain(self) -> bool:
        return self.template in ("auto", "plain")

    def _continued(self, shown: str) -> str:
        """The text of the dialogue up to the next reply."""
        if self._plain:
            return f"{self._text}\n{shown}{self.prefill}"
        return self._render(tuple(self._told)).text

    def _render(self, prompt: str | tuple[Message, ...]) -> Rendered:
        return render(
            self.tokenizer, prompt, system=self.system or None, prefill=self.prefill or None,
            template="plain" if self._plain else "chat",
        )  # fmt: skip

    def _harmless(self, text: str) -> str:
        """A reply as later prompts may hold it: control tokens that the model wrote cannot close a turn."""
        for token in control_tokens(self.tokenizer):
            text = text.replace(token, " ")
        return text
