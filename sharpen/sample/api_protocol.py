"""What is sent to a completions server and what its answers mean. Pure functions; see ``api``."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from sharpen.errors import SharpenError
from sharpen.sample.api_client import Again, Reply
from sharpen.sample.decode import permitted
from sharpen.sample.episode import Annotation, Completion, Finish, Floats, Ids, Request
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.sample.text import decode

COLDEST = 0.01
"""vLLM raises a lower temperature to this one without a word to the client."""


class NoTokenIds(SharpenError):
    """The server answers in text only."""


# --- asking -------------------------------------------------------------------------------------------
def sampling_body(policy: Policy, request: Request, *, logprobs: bool) -> dict[str, Any]:
    """The request in ids, with vLLM's extensions. Everything is said: what a body leaves out, a server
    takes from the model's ``generation_config.json``."""
    law = request.law
    if 0 < law.temperature < COLDEST:
        raise SharpenError(
            f"{request.stream}: a server samples at temperature {COLDEST} where {law.temperature:g} is asked "
            "for: take 0 (greedy)"
        )
    body: dict[str, Any] = {
        "prompt": request.tokens.tolist(),
        "max_tokens": request.max_new_tokens,
        "seed": request.stream.seed(),
        "temperature": law.temperature,
        "top_k": law.top_k,
        "top_p": law.top_p,
        "min_p": law.min_p,
        "repetition_penalty": law.repetition_penalty,
        "presence_penalty": law.presence_penalty,
        "frequency_penalty": law.frequency_penalty,
        # the request's end ids and no others
        "ignore_eos": True,
        "stop_token_ids": list(request.eos_ids),
        "stop": list(request.stop),
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "return_token_ids": True,
        "cache_salt": policy.version,  # a prefix cached under other weights is never found
    }
    if law.allowed is not None:
        body["allowed_token_ids"] = sorted(set(law.allowed) - set(law.banned))
    elif law.banned:
        # a bias of -100 leaves a chance of e^-100; a list of all others would be as long as the vocabulary
        body["logit_bias"] = {str(i): -100 for i in law.banned}
    if logprobs:
        body["logprobs"] = 0  # of the sampled token alone
    return body


def scoring_body(policy: Policy, ids: Ids) -> dict[str, Any]:
    """A text whose tokens are to be scored (vLLM's ``prompt_logprobs``); one token is sampled in passing."""
    return {
        "prompt": ids.tolist(),
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 0,
        "return_token_ids": True,
        "cache_salt": policy.version,
    }


def text_body(policy: Policy, request: Request) -> dict[str, Any]:
    """The request as text, in OpenAI's own fields only.

    Stop strings stay here: such a server cuts them off and does not tell them from the end of the text.
    """
    law = request.law
    plain = SamplingLaw(
        temperature=law.temperature,
        top_p=law.top_p,
        presence_penalty=law.presence_penalty,
        frequency_penalty=law.frequency_penalty,
    )
    if law != plain:
        wrong = ", ".join(sorted(law.spec.keys() - plain.spec.keys()))
        raise SharpenError(f"{request.stream}: a server that takes text only cannot sample with {wrong}")
    if not request.eos_ids:
        raise SharpenError(f"{request.stream}: a server that takes text only needs an end id")
    ids = request.tokens
    if len(ids) > 1 and ids[0] == cast("int | None", policy.tokenizer.bos_token_id):
        ids = ids[1:]  # the server puts its own before the text
    return {
        "prompt": decode(policy.tokenizer, ids),
        "max_tokens": request.max_new_tokens,
        "seed": request.stream.seed(),
        "temperature": law.temperature,
        "top_p": law.top_p,
        "presence_penalty": law.presence_penalty,
        "frequency_penalty": law.frequency_penalty,
    }


# --- reading: of the server's JSON, what is stored ------------------------------------------------------
def read_sampled(answer: Any, request: Request, *, logprobs: bool) -> Reply:
    """``tokens``, ``logprobs`` (or None), ``finish`` and ``usage`` of an answer in ids.

    Raises:
        NoTokenIds: it has text only.
        Again: it is no whole completion.
        SharpenError: the server changed the prompt or gives no log-probabilities.
    """
    choice = _choice(answer)
    ids = choice.get("token_ids")
    if ids is None:
        raise NoTokenIds("the server returns no token ids: set api.tokens=text")
    _check_prompt(choice, request.tokens)
    if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise Again(f"token_ids are no ids: {ids!s:.80}")
    values = None
    if logprobs:
        values = (choice.get("logprobs") or {}).get("token_logprobs")
        if values is None:
            raise SharpenError("the server returns no log-probabilities: set api.logprobs=none")
        if len(values) != len(ids):
            raise Again(f"{len(values)} log-probabilities for {len(ids)} tokens")
        values = [None if v is None else float(v) for v in values]
    usage = _usage(answer, len(request.tokens), len(ids))
    return {"tokens": ids, "logprobs": values, "finish": choice["finish_reason"], "usage": usage}


def read_text(answer: Any, policy: Policy, request: Request) -> Reply:
    """``text``, ``finish`` and ``usage`` of an answer in text. Raises Again where it is none."""
    choice = _choice(answer)
    text = choice.get("text")
    if not isinstance(text, str):
        raise Again(f"the answer holds no text: {choice!s:.80}")
    usage = _usage(answer, len(request.tokens), len(_encode(policy, text)))
    return {"text": text, "finish": choice["finish_reason"], "usage": usage}


def read_scores(answer: Any, ids: Ids) -> Reply:
    """``scores`` (raw log-probabilities from the second token on) and ``usage``.

    Raises:
        SharpenError: it gives none.
        Again: it is no whole completion.
    """
    choice = _choice(answer)
    given = choice.get("prompt_logprobs")
    if not isinstance(given, list):
        raise SharpenError("the server cannot score text: it returns no prompt_logprobs (vLLM does)")
    _check_prompt(choice, ids)
    try:
        scores = [float(at[str(i)]["logprob"]) for at, i in zip(given[1:], ids[1:].tolist(), strict=True)]
    except (KeyError, TypeError, ValueError):
        raise Again(f"prompt_logprobs do not fit the text: {given!s:.80}") from None
    return {"scores": scores, "usage": _usage(answer, len(ids), 1)}


def _choice(answer: Any) -> dict[str, Any]:
    try:
        [choice] = answer["choices"]
        finish = choice["finish_reason"]
    except (KeyError, TypeError, ValueError):
        raise Again(f"the answer is no completion: {answer!s:.80}") from None
    if finish in (None, "abort"):
        raise Again("the server gave the request up")
    return choice


def _check_prompt(choice: dict[str, Any], ids: Ids) -> None:
    seen = choice.get("prompt_token_ids")
    if seen is not None and seen != ids.tolist():
        raise SharpenError(
            f"the server changed the prompt: {len(ids)} ids were sent, {len(seen)} were seen by the model"
        )


def _usage(answer: Any, prompt: int, sampled: int) -> list[int]:
    """Prompt and sampled tokens as the server counts them, or as we do."""
    told = answer.get("usage") or {}
    return [int(told.get("prompt_tokens") or prompt), int(told.get("completion_tokens") or sampled)]


# --- meaning --------------------------------------------------------------------------------------------
def completion_of(policy: Policy, request: Request, reply: Reply, logprobs: str) -> Completion:
    """The completion in a stored reply; ``logprobs`` says what the server's mean (``ApiConfig``).

    Unknown numbers are NaN: entropy and certainty always, as they need the whole vocabulary.

    Raises:
        SharpenError: the server did not sample as it was asked to.
    """
    if "text" in reply:
        return _from_text(policy, request, reply)
    ids = np.array(reply["tokens"], np.int32)
    _check_sampled(policy, request, ids)
    given = _unknown(len(ids))
    if reply["logprobs"] is not None:
        given = np.array([np.nan if v is None else v for v in reply["logprobs"]], np.float32)
    under, raw = _under_and_raw(request.law, given, logprobs)
    return Completion(
        ids, under, raw, _unknown(len(ids)), _unknown(len(ids)), finish=_finish(request, reply, int(ids[-1]))
    )


def annotation_of(reply: Reply | None, law: SamplingLaw | None) -> Annotation:
    """The annotation in stored scores; None is that of a text of one token. Under another law than the
    model's own, ``logprobs`` are unknown."""
    raw = np.array([0.0, *(reply["scores"] if reply is not None else [])], np.float32)
    unknown = _unknown(len(raw))
    unknown[0] = 0
    under = raw if _untouched(law or SamplingLaw()) else unknown
    return Annotation(under.copy(), raw, unknown, unknown.copy())


def _from_text(policy: Policy, request: Request, reply: Reply) -> Completion:
    """The reply's text, encoded once; its end token is put back, and stop strings are cut here."""
    text, finish = reply["text"], _FINISH.get(reply["finish"], Finish.ERROR)
    ends = [at + len(s) for s in request.stop if (at := text.find(s)) >= 0]
    if ends:
        text, finish = text[: min(ends)], Finish.STOP
    ids = _encode(policy, text)
    if finish is Finish.EOS:
        own = cast("int | None", policy.tokenizer.eos_token_id)
        ids.append(own if own in request.eos_ids else request.eos_ids[0])
    if len(ids) > request.max_new_tokens:  # the server counts other tokens than this policy's
        ids, finish = ids[: request.max_new_tokens], Finish.LENGTH
    numbers = [_unknown(len(ids)) for _ in range(4)]
    if request.law.greedy:
        numbers[0][:] = 0
    return Completion(np.array(ids, np.int32), *numbers, finish=finish)


_FINISH = {"stop": Finish.EOS, "length": Finish.LENGTH}


def _finish(request: Request, reply: Reply, last: int) -> Finish:
    told = _FINISH.get(reply["finish"], Finish.ERROR)  # such as content_filter
    if told is not Finish.EOS or last in request.eos_ids:
        return told
    if not request.stop:
        raise SharpenError(
            f"{request.stream}: the server ended on token {last}, which is none of the end ids"
        )
    return Finish.STOP


def _check_sampled(policy: Policy, request: Request, ids: Ids) -> None:
    vocabulary = policy.config.get_text_config().vocab_size
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise SharpenError(
            f"{request.stream}: the server sampled token {ids.max()}, the vocabulary has {vocabulary}: it "
            "serves another model"
        )
    if len(ids) > request.max_new_tokens or np.isin(ids[:-1], request.eos_ids).any():
        raise SharpenError(f"{request.stream}: the server went on behind an end token or the limit")
    allowed = permitted(request.law, vocabulary).numpy()
    if not allowed[ids].all():
        raise SharpenError(
            f"{request.stream}: the server sampled token {ids[~allowed[ids]][0]}, which the law forbids"
        )


def _under_and_raw(law: SamplingLaw, given: Floats, kind: str) -> tuple[Floats, Floats]:
    """Log-probabilities under the law and raw ones, as far as the server's tell them."""
    unknown = _unknown(len(given))
    under = raw = given
    if kind == "raw":
        under = given if _untouched(law) else unknown
    elif kind == "processed":
        # temperature does not enter what a server reports of greedy decoding
        same = SamplingLaw(temperature=1.0 if law.greedy else law.temperature)
        raw = given if law.spec.keys() <= {"temperature"} and _untouched(same) else unknown
    return (np.zeros_like(given) if law.greedy else under.copy()), raw.copy()


def _untouched(law: SamplingLaw) -> bool:
    """Whether the law is the model's own distribution."""
    return law == SamplingLaw()


def _encode(policy: Policy, text: str) -> list[int]:
    return cast("list[int]", policy.tokenizer(text, add_special_tokens=False)["input_ids"])


def _unknown(n: int) -> Floats:
    return np.full(n, math.nan, np.float32)
