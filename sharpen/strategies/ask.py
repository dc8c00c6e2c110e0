"""What a strategy is given: one question, and ``ask``, by which all calls of the model go and are counted.

A strategy is an ``async`` function of ``(ask, settings)``. It asks, looks at the replies, and returns a
``Final``. It knows nothing of batches, budgets, seeds or storage:

- every call waits at the barrier, so all questions' and branches' calls form the engine's batches;
- a call that the budget does not allow ends the strategy with what it called ``ask.keep`` on last;
- a sample's stream is named by the question, the request and how often that request was made: so two
  strategies that make the same request get the same samples.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.sample.episode import Completion, Episode, Finish
from sharpen.strategies.question import Question
from sharpen.strategies.words import ROLES, Value, Words

T = TypeVar("T")


class OverBudget(Exception):
    """The budget does not allow a call."""


class Dropped(Exception):
    """The engine gave no completion for a request."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one question may cost; 0 is no limit.

    Attributes:
        calls: completions sampled.
        tokens: sampled tokens; a call is made only if its longest completion still fits.
    """

    calls: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Spent:
    """What one question has cost.

    Attributes:
        calls: completions sampled.
        tokens: sampled tokens.
        prompt_tokens: tokens of their prompts, each counted as often as it was asked.
        evals: texts scored without sampling; ``eval_tokens`` are theirs.
        tools: calls of tools: programs run, searches, moves of an environment.
    """

    calls: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    evals: int = 0
    eval_tokens: int = 0
    tools: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion.

    Attributes:
        text: what was written after the prompt and the prefill, without end token; a stop string that
            ended it is cut off.
        episode: the call as it is stored, tokens and signals included.
        prefill: what its start was set to.
        turns: of its dialogue so far, what was asked and what was sampled, itself included.
    """

    text: str
    episode: Episode
    prefill: str = ""
    turns: tuple[tuple[str, Completion], ...] = ()

    @property
    def whole(self) -> str:
        """Prefill and text."""
        return self.prefill + self.text

    @property
    def tokens(self) -> int:
        """Sampled tokens."""
        return self.episode.n_sampled

    @property
    def finish(self) -> Finish:
        """Why it ended."""
        return self.episode.finish

    def total(self, signal: str = "raw_logprobs") -> float:
        """The sum of a per-token signal of ``Completion`` over the sampled tokens, nats."""
        return sum(
            float(getattr(s.sampled, signal).sum(dtype="float64"))
            for s in self.episode.spans
            if s.sampled is not None
        )

    def mean(self, signal: str = "raw_logprobs") -> float:
        """The mean of a per-token signal; ``-inf`` without tokens."""
        return self.total(signal) / self.tokens if self.tokens else float("-inf")


@dataclass(frozen=True, slots=True)
class Final:
    """What a strategy returns.

    Attributes:
        text: a completion that carries the final answer where the question's verifier looks for it; ``""``
            where there is none.
        answer: the answer itself, None where there is none.
        confidence: how sure, in [0, 1]; None where the strategy has no opinion.
        candidates: texts of all answers that were considered, in order of appearance.
        stop: why it ended: ``done``, ``max`` (its own limit), or another word of the strategy's.
        notes: numbers to report, such as fallbacks used.
    """

    text: str = ""
    answer: str | None = None
    confidence: float | None = None
    candidates: tuple[str, ...] = ()
    stop: str = "done"
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call, as a strategy puts it.

    Attributes:
        prompt: text; rendered by the run's template, a question's messages are kept.
        prefill: how the reply starts.
        temperature: None for the run's.
        max_new_tokens: None for the run's.
        stop: strings that end it; the run's own are added.
        few_shot: worked examples before the prompt.
        score: a text to be scored as the reply instead of sampling one.
        by: ``""`` for the policy, ``helper`` for the second one (a trained critic or corrector).
        after: a reply whose dialogue goes on with ``prompt``, token by token as it was sampled.
    """

    prompt: Any
    prefill: str = ""
    temperature: float | None = None
    max_new_tokens: int | None = None
    stop: tuple[str, ...] = ()
    few_shot: tuple[tuple[str, str], ...] = ()
    score: str | None = None
    by: str = ""
    after: Reply | None = None


@dataclass(eq=False)
class Session:
    """One question's calls.

    Attributes:
        budget, spent: what it may cost, and has cost.
        cut: whether a call was refused.
        best: what the strategy called ``keep`` on last.
        calls: all calls, in the order in which they were answered; ``names`` is what each asked for.
        seen: how often each request was made.
    """

    budget: Budget = Budget()
    spent: Spent = field(default_factory=Spent)
    cut: bool = False
    best: Final | None = None
    calls: list[Episode] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)


class Desk(Protocol):
    """Where calls are made: the barrier in a run, a script in tests."""

    async def ask(self, item: tuple[Session, Question, Wanted]) -> Reply:
        """One reply. Raises OverBudget, Dropped, or SharpenError where the model cannot take it."""
        ...

    async def gather(self, *flows: Coroutine[Any, Any, T]) -> list[T]:
        """What the branches return, in order."""
        ...

    def stream(self, question: Question) -> Stream:
        """What a question's own draws, those that are no samples of the model, are named under."""
        ...

    def tokens(self, text: str, most: int) -> tuple[int, str]:
        """How many tokens of the model a text has, and its first ``most`` as text."""
        ...


class Ask:
    """The one way to the model; see the module.

    Attributes:
        question: what is asked; its gold is out of reach.
        words: how each role is put to this model.
        spent: the cost so far.
    """

    def __init__(self, desk: Desk, question: Question, words: Words, session: Session | None = None) -> None:
        self._desk, self._session = desk, session or Session()
        self.question, self.words = question, words

    @property
    def spent(self) -> Spent:
        """The cost so far."""
        return self._session.spent

    async def __call__(self, prompt: Any = None, **options: Any) -> Reply:
        """One completion of ``prompt`` (the question itself where None). Options: see ``Wanted``."""
        given = self.question.prompt if prompt is None else prompt
        return await self._desk.ask((self._session, self.question, Wanted(given, **options)))

    async def many(self, n: int, prompt: Any = None, **options: Any) -> list[Reply]:
        """``n`` completions of the same prompt; fewer, at least one, where the budget does not reach."""
        found = await self.gather(*(self._or_none(prompt, options) for _ in range(n)))
        replies = [r for r in found if r is not None]
        if n and not replies:
            raise OverBudget
        return replies

    async def _or_none(self, prompt: Any, options: dict[str, Any]) -> Reply | None:
        try:
            return await self(prompt, **options)
        except OverBudget:
            return None

    async def score(self, prompt: Any, text: str, *, prefill: str = "") -> Reply:
        """``text`` scored as the reply to ``prompt``: an eval, no call. Sum and mean of ``raw_logprobs``
        are its log-probability under the untouched model."""
        given = self.question.prompt if prompt is None else prompt
        return await self._desk.ask((self._session, self.question, Wanted(given, prefill, score=text)))

    def put(self, role: str, **fields: Value) -> str:
        """The prompt of a role; ``question`` is filled in where the role has it."""
        if "question" in ROLES.get(role, ()):
            fields = {"question": self.question.text, **fields}
        return self.words.prompt(role, **fields)

    async def gather(self, *flows: Coroutine[Any, Any, T]) -> list[T]:
        """Run branches at once; never use ``asyncio.gather`` for them."""
        return await self._desk.gather(*flows)

    def stream(self, *names: str | int) -> Stream:
        """A random stream for the strategy's own draws; equal names give equal draws."""
        return self._desk.stream(self.question).child(*names)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return self._desk.tokens(text, 0)[0]

    def clip(self, text: str, most: int) -> str:
        """A text, cut behind its first ``most`` tokens."""
        n, cut = self._desk.tokens(text, most)
        return text if n <= most else cut

    def tool(self, n: int = 1) -> None:
        """Count ``n`` uses of a tool."""
        self._session.spent.tools += n

    def keep(self, final: Final) -> Final:
        """Remember the best so far: it is the result if the budget ends the strategy. Returns it."""
        self._session.best = final
        return final


class Flow(Protocol):
    """A strategy's control flow."""

    async def __call__(self, ask: Ask, settings: Any) -> Final:
        """Answer ``ask.question``."""
        ...


async def attempt(flow: Flow, ask: Ask, settings: Any) -> Final:
    """Run a strategy on one question to its end, whatever happens.

    A call over the budget ends it with what it kept and ``stop = "budget"``; a reply that was dropped or an
    error of the strategy with ``stop = "dropped"`` or ``"error: ..."``. A strategy that went on with fewer
    samples than it asked for has ``stop = "budget"`` too.
    """
    session = ask._session
    kept = lambda stop: replace(session.best or Final(), stop=stop)  # noqa: E731
    try:
        final = await flow(ask, settings)
    except OverBudget:
        return kept("budget")
    except Dropped:
        return kept("dropped")
    except SharpenError as problem:
        return kept(f"error: {' '.join(str(problem).split())[:200]}")
    except Exception as problem:
        return kept(f"error: {type(problem).__name__}: {' '.join(str(problem).split())[:160]}")
    return replace(final, stop="budget") if session.cut and final.stop in ("done", "max") else final
