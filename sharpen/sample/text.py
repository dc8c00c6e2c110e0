"""Text in, exactly: from a task's prompt to the ids that the engine continues, and back to a view.

Every prompt is made into one string first and encoded once, prefill included. So the ids are the
tokenizer's own for that string, as in training text, also where a token spans the border between prompt
and prefill; and nothing is encoded again later: the learner gets these ids followed by the sampled ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Ids
from sharpen.tasks.task import Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Template = Literal["auto", "chat", "plain"]

# a template may open (Qwen3, DeepSeek-R1) or skip (Qwen3 without thinking) the model's thinking itself
_THINK = re.compile(r"<(think|thinking|thought|reasoning)>\s*(</\1>\s*)?\Z")
# Some templates print today's date. A run must not depend on it, so they see a fixed one.
_FIXED_DATE = (
    "{%- macro strftime_now(format) -%}{{ format.replace('%Y', '2024').replace('%m', '07')"
    ".replace('%d', '26').replace('%b', 'Jul').replace('%B', 'July') }}{%- endmacro -%}"
)
# the decoder of a SentencePiece tokenizer drops the space before the first word it sees
_CONTEXT = 8


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as ids.

    Attributes:
        tokens: int32 ``(P,)``, P >= 1, prefill included.
        prefill_start: index of the first token of the prefill, P where there is none. The ids before it
            are those of the prompt alone. A token that holds the end of the prompt and the start of the
            prefill belongs to the prefill.
        text: the string that was encoded, without a BOS that the tokenizer added.
        prefill: the end of ``text`` that is the assistant's, e.g. a ``<think>`` that the chat template
            opened, then the caller's prefill. Verifiers judge it together with the completion.
    """

    tokens: Ids
    prefill_start: int
    text: str
    prefill: str = ""


def render(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    *,
    system: str | None = None,
    few_shot: Sequence[tuple[str, str]] = (),
    prefill: str | None = None,
    template: Template = "auto",
    separator: str = "\n\n",
) -> Rendered:
    """A task's prompt as the model's ids.

    Args:
        tokenizer: the policy's.
        prompt: text or chat messages; a last message of the assistant is a prefill.
        system: system prompt; in plain text the first block.
        few_shot: ``(question, answer)`` examples: earlier turns of a chat; in plain text blocks of
            question and answer put together as they stand.
        prefill: the start of the assistant's reply; follows the template's own generation prompt.
        template: ``chat`` renders by the tokenizer's chat template (text becomes one user turn, without
            the line breaks that end it), ``plain`` continues text as it stands, ``auto`` is ``chat`` for
            messages and ``plain`` for text.
        separator: follows each block of plain text (pass ``tokenizer.eos_token`` for a model that was
            trained on documents ended by it).

    Exactly one BOS where the tokenizer (plain) or the template (chat) wants one; never a final EOS.

    Raises:
        SharpenError: messages without a chat template, messages asked for as plain text, two system
            prompts, a control token inside a message of a user, a template that refuses, an empty prompt.
    """
    if template not in ("auto", "chat", "plain"):
        raise unknown("template", template, ("auto", "chat", "plain"))
    if template == "plain" or (template == "auto" and isinstance(prompt, str)):
        if not isinstance(prompt, str):
            raise SharpenError(
                "chat messages cannot be rendered as plain text: use template 'chat' or text prompts"
            )
        blocks = [system] if system else []
        blocks += [question + answer for question, answer in few_shot]
        head = "".join(block + separator for block in blocks) + prompt
        return _encode(tokenizer, head, prefill or "", bos=True)
    messages, started = _conversation(prompt, system, few_shot)
    head, opened = _apply_template(tokenizer, messages)
    return _encode(tokenizer, head, opened + started + (prefill or ""), bos=False)


def decode(
    tokenizer: PreTrainedTokenizerBase, ids: Ids, *, eos_ids: Sequence[int] = (), after: Ids | None = None
) -> str:
    """The text of ids, for verifiers and eyes: special tokens shown, nothing cleaned up.

    Args:
        ids: int32 ``(T,)``.
        eos_ids: one final id that is among these is left out.
        after: ids that come before, so that ``decode(after) + decode(ids, after=after)`` is the whole text
            also where a decoder treats the first word specially.
    """
    if len(ids) and int(ids[-1]) in eos_ids:
        ids = ids[:-1]
    if after is not None and len(after):
        before = [int(i) for i in after[-_CONTEXT:]]
        head, whole = _text(tokenizer, before), _text(tokenizer, [*before, *(int(i) for i in ids)])
        if whole.startswith(head):
            return whole[len(head) :]
    return _text(tokenizer, [int(i) for i in ids])


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string in it."""
    ends = [at for s in stop if s and (at := text.find(s)) >= 0]
    return text[: min(ends)] if ends else text


def check_room(rendered: Rendered, task_id: str, *, max_new_tokens: int, context: int) -> None:
    """Raise SharpenError, naming the task, when prompt and completion may not fit the model's ``context``
    (all in tokens)."""
    need = len(rendered.tokens) + max_new_tokens
    if need > context:
        raise SharpenError(
            f"task {task_id!r}: {len(rendered.tokens)} prompt tokens and max_new_tokens={max_new_tokens} "
            f"need {need}, the model's context is {context}"
        )


def _conversation(
    prompt: Prompt, system: str | None, few_shot: Sequence[tuple[str, str]]
) -> tuple[list[Message], str]:
    """All messages, and the text of a last one of the assistant (which is not among them)."""
    asked = [_asked(prompt)] if isinstance(prompt, str) else list(prompt)
    messages: list[Message] = []
    if asked and asked[0]["role"] == "system":
        if system:
            raise SharpenError("two system prompts: the task has its own, and one was given")
        messages.append(asked.pop(0))
    elif system:
        messages.append({"role": "system", "content": system})
    for question, answer in few_shot:
        messages += [_asked(question), Message(role="assistant", content=answer)]
    started = asked.pop()["content"] if asked and asked[-1]["role"] == "assistant" else ""
    if not asked:
        raise SharpenError("a chat prompt needs a message of the user")
    return messages + asked, started


def _asked(text: str) -> Message:
    """Text as a user's turn. The line breaks that end it tell a base model to answer; a template has its own
    way, and a model that learnt chats without them is worse for them."""
    return Message(role="user", content=text.rstrip("\n"))


def _apply_template(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[str, str]:
    """The conversation up to the assistant's turn, and what the template has the assistant say first.

    A prefill is put after the generation prompt and not through ``continue_final_message``: templates
    rewrite past assistant messages (they drop or add thinking), and then the ids would not be those that
    the model sees when it begins that reply itself.
    """
    from jinja2 import TemplateError

    model = Path(str(tokenizer.name_or_path)).name or "this model"
    if not tokenizer.chat_template:
        raise SharpenError(f"the tokenizer of {model} has no chat template: use plain text prompts")
    _check_control_tokens(tokenizer, messages)
    source = tokenizer.get_chat_template()
    if "strftime_now" in source:
        source = _FIXED_DATE + source
    texts = []
    for add in (False, True):
        try:
            text = tokenizer.apply_chat_template(
                messages,  # type: ignore[arg-type]
                chat_template=source,
                add_generation_prompt=add,
                tokenize=False,
            )
        except TemplateError as e:
            raise SharpenError(f"the chat template of {model} refuses the prompt: {e}") from e
        texts.append(str(text))
    closed, whole = texts
    # only what the template adds is the assistant's: a user may write <think> too
    added = whole[len(closed) :] if whole.startswith(closed) else whole
    found = _THINK.search(added)
    opened = found.group() if found else ""
    return whole[: len(whole) - len(opened)], opened


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What a template marks turns with, such as ``<|user|>``, as text."""
    # a tokenizer lists as its special tokens only those that have a name (end, padding, ...)
    added = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    return [t for t in dict.fromkeys([*tokenizer.all_special_tokens, *added]) if len(t) > 2]


def _check_control_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> None:
    # text of a task that closes its own turn could speak for the assistant
    control = control_tokens(tokenizer)
    for message in messages:
        for token in control:
            if message["role"] != "assistant" and token in message["content"]:
                raise SharpenError(f"a message of the {message['role']} contains the control token {token!r}")


def _encode(tokenizer: PreTrainedTokenizerBase, head: str, prefill: str, *, bos: bool) -> Rendered:
    ids = _ids(tokenizer, head + prefill, bos=bos)
    if not ids:
        raise SharpenError("the prompt has no tokens")
    start = len(ids)
    if prefill:
        # where the ids stop being those of the prompt alone
        alone = _ids(tokenizer, head, bos=bos)
        same = (i for i, (a, b) in enumerate(zip(alone, ids, strict=False)) if a != b)
        start = next(same, min(len(alone), len(ids)))
    return Rendered(np.array(ids, dtype=np.int32), start, head + prefill, prefill)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, bos: bool) -> list[int]:
    ids = cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])
    first = cast("int | None", tokenizer.bos_token_id)
    if not bos or first is None or ids[:1] == [first]:
        return ids
    # what the tokenizer puts around nothing tells whether it wants a BOS; the EOS that some add would
    # end the text before it was continued
    around = cast(list[int], tokenizer("")["input_ids"])
    return [first, *ids] if around[:1] == [first] else ids


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
