"""The api engine: any server that speaks OpenAI's completions protocol, vLLM's first of all (extra ``api``).

Token ids are the truth: prompts go as ids, ids come back. A server that knows no ids gets text, and its
reply is encoded once; its log-probabilities are then unknown. What a server does not tell is NaN, never a
guess:

- ``entropy`` and ``certainty`` always (they need the whole vocabulary), and the kept sets of a law that cuts;
- ``logprobs`` (under the law) where the server gives raw ones and the law is not the model's own
  distribution; ``raw_logprobs`` where it gives processed ones and the law changes them. Greedy ones are 0.

Replies cannot be computed again, so each is on the run's tape before it is used: a run that was killed asks
only for what is missing, and one that is finished needs no server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.runs.tape import Tape
from sharpen.sample.api_client import Ask, Client, Reply, Sleep, Spent
from sharpen.sample.api_config import ApiConfig
from sharpen.sample.api_protocol import (
    NoTokenIds,
    annotation_of,
    completion_of,
    read_sampled,
    read_scores,
    read_text,
    sampling_body,
    scoring_body,
    text_body,
)
from sharpen.sample.api_weights import Weights, beginnings
from sharpen.sample.engine import Progress
from sharpen.sample.episode import Annotation, Completion, Ids, Request
from sharpen.sample.forward import Kept
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import check_requests, check_sequences
from sharpen.sample.policy import Policy
from sharpen.sample.steering import refuse_steered

__all__ = ["ApiConfig", "ApiEngine"]

T = TypeVar("T")
Take = Callable[[str, Reply], None]


class ApiEngine:
    """See ``engine.Engine``.

    Args:
        config: the server, its limits and what its numbers mean.
        tape: where replies are kept, ``Tape(run_folder / TAPE)``; None keeps none.
        say: told, once, of what a user should know.
        sleep: waits between tries, seconds.
    """

    exact = False

    def __init__(
        self,
        config: ApiConfig,
        tape: Tape | None = None,
        *,
        say: Callable[[str], None] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config
        self._tape = tape
        self._say = say or (lambda text: print(f"sharpen: {text}", file=sys.stderr))
        self._client = Client(config, tape, sleep)
        self._weights = Weights(config, tape)
        self._text = config.tokens == "text"

    @property
    def rounding(self) -> float:
        """See ``ApiConfig.rounding``."""
        return self.config.rounding

    @property
    def spent(self) -> Spent:
        """Requests and tokens used so far."""
        return self._client.spent

    def generate(
        self,
        policy: Policy,
        requests: Sequence[Request],
        *,
        batch: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[Completion]:
        """See ``Engine``; ``batch`` is how many requests are in flight, ``config.concurrency`` by default.

        Raises:
            SharpenError: a limit is reached, the server refuses or does not answer. What was answered is
                on the tape.
        """
        refuse_steered(policy, "engine 'api'")
        if not requests:
            return []
        check_requests(policy, requests)
        self._weights.check(policy)
        keys = [self._key(policy, sample=_identity(r)) for r in requests]
        wanted = dict(zip(keys, requests, strict=True))
        copies, done = Counter(keys), dict[str, Completion]()
        seen = [0, 0]

        def take(key: str, reply: Reply) -> None:
            done[key] = completion_of(policy, wanted[key], reply, self.config.logprobs)
            seen[0] += copies[key] * len(done[key].tokens)
            seen[1] += copies[key]
            if on_progress is not None:
                on_progress(seen[0], seen[1])

        absent = self._replay(wanted, take)
        if absent:
            texts = beginnings(policy, (r.tokens for r in absent.values()))
            make = partial(self._sampling, policy)
            asyncio.run(self._fetch(policy, absent, make, take, texts, batch or self.config.concurrency))
        return [done[key] for key in keys]

    def annotate(
        self,
        policy: Policy,
        sequences: Sequence[Ids],
        *,
        law: SamplingLaw | None = None,
        kept: Sequence[Kept | None] | None = None,
        hidden: bool = False,
    ) -> list[Annotation]:
        """See ``Engine``. Raw log-probabilities by vLLM's ``prompt_logprobs``; those under a ``law`` other
        than the model's own are NaN, whatever was ``kept``.

        Raises:
            SharpenError: as ``generate``; the server cannot score text; hidden states are asked for.
        """
        refuse_steered(policy, "engine 'api'")
        if hidden or self._text:
            what = "return hidden states" if hidden else "score text: it takes text only (api.tokens=text)"
            raise SharpenError(f"{self.config.url}: the server cannot {what}")
        check_sequences(policy, sequences)
        self._weights.check(policy)
        keys = [self._key(policy, score=ids.tolist()) for ids in sequences]
        wanted = {key: ids for key, ids in zip(keys, sequences, strict=True) if len(ids) > 1}
        done: dict[str, Reply] = {}
        absent = self._replay(wanted, done.__setitem__)
        if absent:
            texts = beginnings(policy, absent.values())
            make = partial(self._scoring, policy)
            # one after the other: vLLM 0.32 dies of two at a time where it was started with --enable-lora
            asyncio.run(self._fetch(policy, absent, make, done.__setitem__, texts, 1))
        return [annotation_of(done.get(key), law) for key in keys]

    def _key(self, policy: Policy, **what: Any) -> str:
        """Names the reply to a question: the policy's version, the served model, and what is asked."""
        config = self.config
        identity = {
            "version": policy.version,
            "server": [config.model, config.tokens, config.logprobs],
            **what,
        }
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _replay(self, wanted: Mapping[str, T], take: Take) -> dict[str, T]:
        """Hand over what the tape holds; what it does not is left."""
        absent: dict[str, T] = {}
        for key, item in wanted.items():
            reply = self._tape.get(key) if self._tape is not None else None
            if reply is None:
                absent[key] = item
            else:
                take(key, reply)
        return absent

    async def _fetch(
        self,
        policy: Policy,
        absent: dict[str, T],
        make: Callable[[str, T], Ask],
        take: Take,
        texts: Sequence[Ids],
        width: int,
    ) -> None:
        """Ask the server for what is absent."""
        async with self._client.connect(width) as session:
            name = await self._weights.ready(session, policy, texts)

            def asks() -> list[Ask]:
                made = [make(key, item) for key, item in absent.items()]
                return [replace(a, body={"model": name, **a.body}) for a in made] if name else made

            def told(ask: Ask, reply: Reply) -> None:
                take(ask.key, reply)
                del absent[ask.key]

            try:
                await session.ask_all(asks(), told)
            except NoTokenIds:
                if self.config.weights != "fixed":
                    raise
                self._text = True
                self._say(
                    f"{self.config.url} returns no token ids: prompts go as text, replies are encoded once "
                    "and their log-probabilities are unknown"
                )
                await session.ask_all(asks(), told)

    def _sampling(self, policy: Policy, key: str, request: Request) -> Ask:
        """The question for one completion, in ids or as text."""
        logprobs, text = self.config.logprobs, self._text
        if text:
            body = text_body(policy, request)
        else:
            body = sampling_body(policy, request, logprobs=logprobs != "none")

        def read(answer: Any) -> Reply:
            if text:
                reply = read_text(answer, policy, request)
            else:
                reply = read_sampled(answer, request, logprobs=logprobs != "none")
            completion_of(policy, request, reply, logprobs)  # what means nothing is not kept
            return reply

        return Ask(key, request.stream, body, read, len(request.tokens), request.max_new_tokens)

    def _scoring(self, policy: Policy, key: str, ids: Ids) -> Ask:
        """The question for the scores of one text."""
        body = scoring_body(policy, ids)
        return Ask(key, stream("api", "score", key), body, lambda a: read_scores(a, ids), len(ids), 1)


def _identity(request: Request) -> list[Any]:
    """What a completion rests on besides the policy, as JSON."""
    return [
        request.tokens.tolist(),
        request.stream.names,
        request.law.spec,
        request.max_new_tokens,
        request.eos_ids,
        request.stop,
    ]
