"""Where strategies' calls are made: admitted by each question's budget, batched, sampled, counted, kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.sample.barrier import LATER, Barrier, Later
from sharpen.sample.dialogue import Dialogue
from sharpen.sample.engine import Engine, complete
from sharpen.sample.episode import Annotation, Completion, Finish, Request
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import check_requests
from sharpen.sample.policy import Policy
from sharpen.sample.text import Rendered, cut_at_stop, decode, render
from sharpen.strategies.ask import Dropped, OverBudget, Reply, Session, Wanted
from sharpen.strategies.question import Question
from sharpen.verbs.asking import Asking
from sharpen.verbs.sampling import episode_of

T = TypeVar("T")
Item = tuple[Session, Question, Wanted]


@dataclass
class Drawn:
    """Completions by what was asked of which policy, shared by the strategies of a run.

    ``loads`` are earlier steps' stored calls, read when a completion is first looked for.
    """

    known: dict[str, Completion] = field(default_factory=dict)
    loads: list[Callable[[], dict[str, Completion]]] = field(default_factory=list)

    def get(self, name: str) -> Completion | None:
        """The completion, None where it was never drawn."""
        while self.loads:
            self.known |= self.loads.pop()()
        return self.known.get(name)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be sampled, and what its reply needs."""

    policy: Policy
    request: Request
    rendered: Rendered
    name: str


@dataclass(eq=False)
class EngineDesk:
    """See ``strategies.ask.Desk``.

    Args:
        engine, policy: what samples, from what.
        helper: the policy of calls made ``by="helper"``; None where there is none.
        asking: how prompts are rendered, and the longest reply.
        law: how replies are sampled where a strategy does not say.
        streams: what calls' streams are children of.
        key: what the calls' keys begin with.
        drawn: completions that need not be sampled again.
        watch: told of (calls, tokens) as they are answered.
    """

    engine: Engine
    policy: Policy
    asking: Asking
    law: SamplingLaw
    streams: Stream
    key: str
    helper: Policy | None = None
    drawn: Drawn = field(default_factory=Drawn)
    watch: Callable[[int, int], None] | None = None
    shared: int = 0

    def __post_init__(self) -> None:
        self._barrier: Barrier[Item, Reply] = Barrier(self._serve)

    def run(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
        """Run the flows to their ends."""
        return self._barrier.run(flows)

    async def ask(self, item: Item) -> Reply:
        """See ``Desk``."""
        return await self._barrier.ask(item)

    async def gather(self, *flows: Coroutine[Any, Any, T]) -> list[T]:
        """See ``Desk``."""
        return await self._barrier.gather(*flows)

    def stream(self, question: Question) -> Stream:
        """See ``Desk``."""
        return self.streams.child(question.id, "draws")

    def tokens(self, text: str, most: int) -> tuple[int, str]:
        """See ``Desk``."""
        ids = self.policy.tokenizer.encode(text, add_special_tokens=False)
        return len(ids), str(self.policy.tokenizer.decode(ids[:most]))

    # one batch -----------------------------------------------------------------------------------
    def _serve(self, items: Sequence[Item]) -> list[Reply | BaseException | Later]:
        served: list[Reply | BaseException | Later | None] = [None] * len(items)
        calls: dict[int, Call] = {}
        evals: dict[int, tuple[Rendered, Any]] = {}
        held: dict[int, tuple[int, int]] = {}  # calls of this batch by session, and tokens they may take
        for i, (session, question, wanted) in enumerate(items):
            try:
                rendered = self._render(question, wanted)
                if wanted.score is not None:
                    evals[i] = (rendered, self._scored_ids(rendered, wanted.score))
                    continue
                served[i] = self._refuse(session, wanted, held.get(id(session), (0, 0)))
                if served[i] is None:
                    calls[i] = self._call(session, question, wanted, rendered)
                    n, longest = held.get(id(session), (0, 0))
                    held[id(session)] = (n + 1, longest + self._longest(wanted))
            except SharpenError as problem:
                served[i] = problem
        for i, completion in zip(calls, self._complete(list(calls.values())), strict=True):
            session, question, wanted = items[i]
            served[i] = self._reply(session, question, wanted, calls[i], completion)
        for i, note in zip(evals, self._annotate([ids for _, ids in evals.values()]), strict=True):
            served[i] = self._scored(items[i], evals[i], note)
        return [s for s in served if s is not None]

    def _refuse(
        self, session: Session, wanted: Wanted, held: tuple[int, int]
    ) -> BaseException | Later | None:
        """Admit a call (None), let it wait for what its question has in flight, or end the budget."""
        budget, spent, (flying, longest) = session.budget, session.spent, held
        if budget.calls and spent.calls + flying >= budget.calls:
            session.cut = True
            return OverBudget()
        if budget.tokens and spent.tokens + longest + self._longest(wanted) > budget.tokens:
            if flying:
                return LATER
            session.cut = True
            return OverBudget()
        return None

    def _longest(self, wanted: Wanted) -> int:
        return wanted.max_new_tokens or self.asking.max_new_tokens

    def _policy(self, wanted: Wanted) -> Policy:
        if not wanted.by:
            return self.policy
        if self.helper is None:
            raise SharpenError("this strategy needs a second policy: give one with helper=MODEL")
        return self.helper

    # requests ------------------------------------------------------------------------------------
    def _render(self, question: Question, wanted: Wanted) -> Rendered:
        if wanted.after is not None:
            return self._next_turn(wanted, wanted.after)
        own = wanted.prompt == question.prompt
        prompt = wanted.prompt if own or not isinstance(wanted.prompt, str) else question.asked(wanted.prompt)
        asking = self.asking
        return render(
            self._policy(wanted).tokenizer,
            prompt,
            system=asking.system or None,
            few_shot=wanted.few_shot or (asking.few_shot if own else ()),
            prefill=((asking.prefill if own else "") + wanted.prefill) or None,
            template=asking.template,
        )

    def _next_turn(self, wanted: Wanted, after: Reply) -> Rendered:
        """The dialogue of an earlier reply, as it was sampled, with a further turn of the user."""
        policy, asking = self._policy(wanted), self.asking
        if not after.turns or wanted.prefill or asking.prefill or asking.few_shot:
            raise SharpenError("a dialogue goes on from a plain question, without prefill or examples")
        dialogue = dialogue_of(policy, asking)
        for turn, (shown, said) in enumerate(after.turns):
            dialogue.show(turn_text(shown, asking), turn)
            dialogue.say(said, version="", trainable=False)
        tokens = dialogue.show(turn_text(str(wanted.prompt), asking), len(after.turns))
        if dialogue.forks:
            raise SharpenError("this chat template rewrites earlier turns, so a dialogue cannot go on")
        return Rendered(tokens, len(tokens), decode(policy.tokenizer, tokens))

    def _call(self, session: Session, question: Question, wanted: Wanted, rendered: Rendered) -> Call:
        law = self.law if wanted.temperature is None else replace(self.law, temperature=wanted.temperature)
        longest, stop = self._longest(wanted), (*self.asking.stop, *wanted.stop)
        digest = request_digest(rendered.tokens.tolist(), law, longest, stop)
        k = session.seen.get(digest, 0)
        session.seen[digest] = k + 1
        name = self.streams.child(question.id, digest, k)
        policy = self._policy(wanted)
        request = Request(rendered.tokens, name, law, longest, policy.eos_ids, stop)
        check_requests(policy, [request])
        return Call(policy, request, rendered, f"{policy.version}/{question.id}/{digest}/{k}")

    def _complete(self, calls: Sequence[Call]) -> list[Completion | None]:
        """Completions in order, None where the engine dropped one although it was asked again."""
        fresh = {c.name: c for c in calls if self.drawn.get(c.name) is None}
        self.shared += len(calls) - len(fresh)
        for policy in {c.policy.version: c.policy for c in fresh.values()}.values():
            asked = [fresh[n] for n in sorted(fresh) if fresh[n].policy is policy]
            found = complete(self.engine, policy, [c.request for c in asked])
            self.drawn.known |= {c.name: f for c, f in zip(asked, found, strict=True) if f is not None}
        return [self.drawn.get(c.name) for c in calls]

    def _reply(
        self, session: Session, question: Question, wanted: Wanted, call: Call, done: Completion | None
    ) -> Reply | BaseException:
        session.spent.calls += 1
        if done is None:
            return Dropped()
        session.spent.tokens += len(done.tokens)
        session.spent.prompt_tokens += len(call.request.tokens)
        key = f"{self.key}/{question.id}/{len(session.calls)}"
        episode = episode_of(call.policy, call.rendered, done, key, question.id, len(session.calls))
        session.calls.append(episode)
        session.names.append(call.name)
        if self.watch is not None:
            self.watch(1, len(done.tokens))
        text = cut_at_stop(episode.text, call.request.stop) if done.finish is Finish.STOP else episode.text
        before = wanted.after.turns if wanted.after is not None else ()
        turns = (*before, (wanted.prompt, done)) if isinstance(wanted.prompt, str) else ()
        return Reply(text, episode, call.rendered.prefill, turns)

    # evals ---------------------------------------------------------------------------------------
    def _scored_ids(self, rendered: Rendered, text: str) -> Any:
        """Prompt and text as ids, encoded together where the border allows it."""
        ids = self.policy.tokenizer(rendered.text + text, add_special_tokens=False)["input_ids"]
        alone = self.policy.tokenizer(rendered.text, add_special_tokens=False)["input_ids"]
        n = len(alone)  # type: ignore[arg-type]
        tail = (
            ids[n:]
            if ids[:n] == alone
            else self.policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        )  # type: ignore[index]
        whole = np.concatenate([rendered.tokens, np.array(tail, np.int32)]).astype(np.int32)
        if len(whole) > self.policy.context:
            raise SharpenError(f"a text of {len(whole)} tokens exceeds the context of {self.policy.context}")
        return whole

    def _annotate(self, texts: list[Any]) -> list[Annotation]:
        return self.engine.annotate(self.policy, texts) if texts else []

    def _scored(self, item: Item, given: tuple[Rendered, Any], note: Annotation) -> Reply:
        session, question, wanted = item
        rendered, ids = given
        start = len(rendered.tokens)
        session.spent.evals += 1
        session.spent.eval_tokens += len(ids)
        numbers = (note.logprobs, note.raw_logprobs, note.entropy, note.certainty)
        done = Completion(ids[start:], *(x[start:] for x in numbers), finish=Finish.LENGTH)
        episode = episode_of(self.policy, rendered, done, "", question.id, 0)
        return Reply(wanted.score or "", episode, rendered.prefill)


def dialogue_of(policy: Policy, asking: Asking) -> Dialogue:
    """An empty dialogue with a policy, every turn of which stays in its prompt."""
    return Dialogue(
        policy.tokenizer, policy.eos_ids, memory="whole", system=asking.system, template=asking.template
    )


def turn_text(shown: str, asking: Asking) -> str:
    """What is shown as ``render`` would put it: a turn of a chat has no line breaks at its end."""
    return shown.rstrip("\n") if asking.template == "chat" else shown


def request_digest(ids: list[int], law: SamplingLaw, longest: int, stop: Sequence[str]) -> str:
    """Names what is asked: equal requests of a question share their draws."""
    parts = (ids, law.spec, longest, stop)
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()
