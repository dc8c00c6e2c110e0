"""An engine without a model: for tests of what stands on engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sharpen.errors import SharpenError
from sharpen.sample.engine import Progress
from sharpen.sample.episode import Annotation, Completion, Finish, Ids, Request
from sharpen.sample.forward import Kept
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import check_sequences
from sharpen.sample.policy import Policy
from sharpen.sample.rows import StopWatch

Script = Callable[[Request], str | Sequence[int]]
"""What to answer a request: text (an end token is added where the request has one) or ids."""


class FakeEngine:
    """Answers by a script, or at random from each request's own stream; see ``engine.Engine``.

    It stands for a model that finds every allowed token equally probable, whatever came before: all its
    log-probabilities are ``-log V`` (under the law ``-log`` of what it allows), the entropy is ``log V``
    and the self-certainty 0.

    Args:
        script: None draws ids uniformly.
    """

    exact = True
    rounding = None

    def __init__(self, script: Script | None = None) -> None:
        self._script = script
        self.requests: list[Request] = []
        """Everything asked so far, in order."""

    def generate(
        self,
        policy: Policy,
        requests: Sequence[Request],
        *,
        batch: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[Completion]:
        """See ``Engine``."""
        self.requests += requests
        results, sampled = [], 0
        for done, request in enumerate(requests, 1):
            results.append(self._complete(policy, request))
            sampled += len(results[-1].tokens)
            if on_progress is not None:
                on_progress(sampled, done)
        return results

    def annotate(
        self,
        policy: Policy,
        sequences: Sequence[Ids],
        *,
        law: SamplingLaw | None = None,
        kept: Sequence[Kept | None] | None = None,
        hidden: bool = False,
    ) -> list[Annotation]:
        """See ``Engine``; ``hidden`` is one layer of one zero a token."""
        law = law or SamplingLaw()
        results = []
        check_sequences(policy, sequences)
        for i, ids in enumerate(sequences):
            n = len(ids)
            signals = _signals(n, policy, law)
            for numbers in signals:
                numbers[0] = 0
            if kept is not None and (sets := kept[i]) is not None:
                inside = [0.0 if s is None else -math.log(len(s)) for s in sets[1:]]
                signals[0][1:] = np.where(np.array([s is None for s in sets[1:]]), signals[0][1:], inside)
            states = np.zeros((1, n, 1), np.float32) if hidden else None
            results.append(Annotation(*signals, hidden=states))
        return results

    def _complete(self, policy: Policy, request: Request) -> Completion:
        if len(request.tokens) + request.max_new_tokens > policy.context:
            raise SharpenError(f"{request.stream}: exceeds the context of {policy.context}")
        ids, finish = self._ids(policy, request), Finish.LENGTH
        watch = StopWatch(policy.tokenizer, request.stop) if request.stop else None
        n = min(len(ids), request.max_new_tokens)
        for t, token in enumerate(ids[:n]):
            if token in request.eos_ids or (watch is not None and watch.push(token)):
                finish = Finish.EOS if token in request.eos_ids else Finish.STOP
                n = t + 1
                break
        tokens = np.array(ids[:n], np.int32)
        kept = tuple(_allowed(policy, request.law) for _ in tokens) if request.law.truncates else None
        return Completion(tokens, *_signals(n, policy, request.law), finish=finish, kept=kept)

    def _ids(self, policy: Policy, request: Request) -> list[int]:
        if self._script is None:
            allowed = _allowed(policy, request.law)
            if request.law.greedy:
                return [int(allowed[0])] * request.max_new_tokens
            uniforms = request.stream.generator().random(request.max_new_tokens)
            return allowed[(uniforms * len(allowed)).astype(int)].tolist()
        answer = self._script(request)
        if not isinstance(answer, str):
            return list(answer)
        return [*policy.tokenizer.encode(answer, add_special_tokens=False), *request.eos_ids[:1]]


def _allowed(policy: Policy, law: SamplingLaw) -> Ids:
    """The ids that a law leaves of a uniform distribution, ascending."""
    vocabulary = policy.config.get_text_config().vocab_size
    ids = [i for i in law.allowed or range(vocabulary) if i not in law.banned]
    return np.array(sorted(ids)[: law.top_k or None], np.int32)


def _signals(n: int, policy: Policy, law: SamplingLaw) -> tuple[np.ndarray, ...]:
    vocabulary = policy.config.get_text_config().vocab_size
    under = 0.0 if law.greedy else -math.log(len(_allowed(policy, law)))
    numbers = (under, -math.log(vocabulary), math.log(vocabulary), 0.0)
    return tuple(np.full(n, x, np.float32) for x in numbers)
