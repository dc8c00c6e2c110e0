"""Strategies that search: trees of partial solutions, beams of them, and a buffer of ways that worked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sharpen.errors import unknown
from sharpen.runs.streams import Stream
from sharpen.score.answers import extract_answer
from sharpen.select import votes
from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.memory import nearest
from sharpen.strategies.selection import plain

State = tuple[str, ...]
"""A partial solution: its steps."""

WORTH = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}
"""What one valuation is worth; a state has the sum over its valuations, and what cannot be read is 0."""
LOG_FLOOR = -1e4
"""The logarithm of a probability of 0."""

_WORD = re.compile("|".join(WORTH))
_BULLET = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+")


@dataclass(frozen=True)
class TreeOfThoughts:
    """``depth``: steps of a solution at most; ``thoughts``: next steps proposed at a state.

    ``by``: who values states: ``value`` (``votes`` replies sure, likely or impossible a state), ``vote``
    (``votes`` replies that name the best of a level) or ``random`` (a control: no reply is asked for).
    ``search``: ``bfs`` keeps the ``beam`` best states of each level; ``dfs`` goes into the best first, turns
    back at values below ``threshold``, and ends after expanding ``nodes`` states.
    ``temperature`` of the thoughts: -1 is the run's.
    """

    search: str = "bfs"
    by: str = "value"
    depth: int = 4
    beam: int = 5
    thoughts: int = 5
    votes: int = 3
    threshold: float = 1.0
    nodes: int = 100
    temperature: float = -1.0


@dataclass(frozen=True)
class GuidedBeam:
    """``samples``: continuations a level, over all live chains; ``beam``: chains kept, drawn at ``tau``,
    which is multiplied by ``decay`` from level to level; ``weight``: of the step's own probability against
    the model's belief that it is right; ``temperature``: -1 is the run's."""

    samples: int = 16
    beam: int = 5
    levels: int = 6
    weight: float = 0.5
    tau: float = 0.5
    decay: float = 0.5
    temperature: float = -1.0


@dataclass(frozen=True)
class BufferOfThoughts:
    """``delta``: a stored way is used from this similarity on; below it a generic one is."""

    delta: float = 0.6


@dataclass(frozen=True)
class DistilThoughts(BufferOfThoughts):
    """As ``BufferOfThoughts``."""


# tree of thoughts ---------------------------------------------------------------------------------
async def tree_of_thoughts(ask: Ask, settings: TreeOfThoughts) -> Final:
    """Steps are proposed, partial solutions valued by the model itself, and the best ones gone on with
    (arXiv 2305.10601). Without the role ``propose`` each thought is a sample of the next step."""
    if settings.search not in ("bfs", "dfs"):
        raise unknown("search", settings.search, ("bfs", "dfs"))
    tree = Tree(ask, settings)
    return await (_breadth_first(tree) if settings.search == "bfs" else _depth_first(tree))


async def _breadth_first(tree: Tree) -> Final:
    beam: list[State] = [()]
    for _ in range(tree.settings.depth):
        grown = await tree.ask.gather(*(tree.thoughts(s) for s in beam if not solved(s)))
        # a solution holds its place in the beam against what the others have become
        pool = list(dict.fromkeys([*(s for s in beam if solved(s)), *(s for new in grown for s in new)]))
        await tree.value(pool)
        beam = tree.ranked(s for s in pool if not tree.hopeless(s))[: tree.settings.beam]
        if not beam:
            return tree.final(stop="hopeless")
        tree.ask.keep(tree.final())
        if all(map(solved, beam)):
            return tree.final()
    return tree.final(stop="max")


async def _depth_first(tree: Tree) -> Final:
    stack: list[State] = [()]
    expanded = 0
    while stack:
        state = stack.pop()
        if solved(state):
            return tree.final(only=state)
        if len(state) == tree.settings.depth:
            continue
        if expanded == tree.settings.nodes:
            return tree.final(stop="max")
        expanded += 1
        grown = await tree.thoughts(state)
        await tree.value(grown)
        tree.ask.keep(tree.final())
        # the best on top of the stack; what is below the threshold is never entered
        stack += [s for s in tree.ranked(grown)[::-1] if tree.values[s] >= tree.settings.threshold]
    return tree.final(stop="hopeless")


@dataclass
class Tree:
    """The states of one question with their values, each valued once."""

    ask: Ask
    settings: TreeOfThoughts
    values: dict[State, float] = field(default_factory=dict)
    unread: int = 0

    async def thoughts(self, state: State) -> list[State]:
        """The states one step further, equal ones merged."""
        ask, n = self.ask, self.settings.thoughts
        law = {} if self.settings.temperature < 0 else {"temperature": self.settings.temperature}
        steps = "\n".join(state)
        if n > 1 and ask.words.has("propose"):
            reply = await ask(ask.put("propose", steps=steps, n=n), **law)
            said = [_BULLET.sub("", line) for line in reply.text.splitlines()]
        else:
            prompt = ask.put("step", steps=steps)
            replies = await ask.gather(*(ask(prompt, stop=("\n",), **law) for _ in range(n)))
            said = [r.text for r in replies]
        found = [" ".join(s.split()) for s in said if s.strip()][:n]
        return [(*state, step) for step in dict.fromkeys(found)]

    async def value(self, states: Sequence[State]) -> None:
        """Value those that have no value yet; a vote is always held anew, over all of them."""
        by, fresh = self.settings.by, [s for s in states if s not in self.values]
        if by == "vote":
            self.values |= dict(zip(states, await self._voted(states), strict=True))
        elif by == "value":
            found = await self.ask.gather(*(self._valued(s) for s in fresh))
            self.values |= dict(zip(fresh, found, strict=True))
        elif by == "random":
            most = WORTH["sure"] * self.settings.votes
            draws = [self.ask.stream("value", *s).generator().random() for s in fresh]
            self.values |= {s: most * float(d) for s, d in zip(fresh, draws, strict=True)}
        else:
            raise unknown("valuation", by, ("value", "vote", "random"))

    async def _valued(self, state: State) -> float:
        prompt = self.ask.put("value", steps="\n".join(state))
        replies = await self.ask.gather(*(self.ask(prompt) for _ in range(self.settings.votes)))
        words = [_WORD.findall(r.text.lower()) for r in replies]
        self.unread += sum(not w for w in words)
        return sum(WORTH[w[-1]] for w in words if w)

    async def _voted(self, states: Sequence[State]) -> list[float]:
        prompt = self.ask.put("vote", candidates=["\n".join(s) for s in states])
        replies = await self.ask.gather(*(self.ask(prompt) for _ in range(self.settings.votes)))
        named = [(extract_answer(r.text) or "").strip(" .") for r in replies]
        picks = [int(n) if n.isascii() and n.isdigit() and len(n) < 9 else 0 for n in named]
        self.unread += sum(not 1 <= p <= len(states) for p in picks)
        return [float(picks.count(i)) for i in range(1, len(states) + 1)]

    def hopeless(self, state: State) -> bool:
        """Whether every valuation called it impossible."""
        n = self.settings.votes
        return self.settings.by == "value" and n > 0 and 0 < self.values[state] <= n * WORTH["impossible"]

    def ranked(self, states: Iterable[State]) -> list[State]:
        """The most valued first, equal ones in order."""
        return sorted(states, key=lambda s: -self.values[s])

    def final(self, *, stop: str = "done", only: State | None = None) -> Final:
        """The most valued solution; without one, the steps of the most valued of the deepest states, and no
        answer."""
        ends = [only] if only is not None else self.ranked(s for s in self.values if solved(s))
        notes = {"states": float(len(self.values)), "unread": float(self.unread)}
        if stop == "hopeless" and only is None:
            return Final(stop=stop, notes=notes)
        deepest = max(map(len, self.values), default=0)
        best = (ends or self.ranked(s for s in self.values if len(s) == deepest) or [()])[0]
        text = "\n".join(best)
        answer = self.ask.question.read(text) if solved(best) else None
        return Final(text, answer, candidates=tuple("\n".join(s) for s in ends), stop=stop, notes=notes)


def solved(state: State) -> bool:
    """Whether the last step gives the answer."""
    return bool(state) and extract_answer(state[-1]) is not None


# guided beam search -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Chain:
    """Steps so far, and the logarithm of their score."""

    steps: State = ()
    log: float = 0.0


async def guided_beam(ask: Ask, settings: GuidedBeam) -> Final:
    """Beam search over steps, scored by the step's probability and by the model's own belief that it is right
    (arXiv 2305.00633); chains are drawn, not taken from the top; finished ones vote."""
    live, done, tau = [Chain()], list[Chain](), settings.tau
    for level in range(settings.levels):
        n, rest = divmod(settings.samples, len(live))
        parents = [c for i, c in enumerate(live) for _ in range(n + (i < rest))]
        grown = await ask.gather(*(_grown(ask, settings, c) for c in parents))
        kept = drawn([np.exp(c.log) for c in grown], settings.beam, tau, ask.stream("beam", level))
        live = [grown[i] for i in kept if not solved(grown[i].steps)]
        done += [grown[i] for i in kept if solved(grown[i].steps)]
        tau *= settings.decay
        ask.keep(_elected(ask, done, live))
        if not live:
            return _elected(ask, done, live)
    return replace(_elected(ask, done, live), stop="max")


async def _grown(ask: Ask, settings: GuidedBeam, chain: Chain) -> Chain:
    temperature = None if settings.temperature < 0 else settings.temperature
    reply = await ask(ask.put("step", steps="\n".join(chain.steps)), stop=("\n",), temperature=temperature)
    steps = (*chain.steps, " ".join(reply.text.split()))
    said = await ask.score(ask.put("correct", steps="\n".join(steps)), "yes")
    return Chain(steps, chain.log + step_log(reply.total(), said.total(), settings.weight))


def step_log(step: float, correct: float, weight: float) -> float:
    """``log(P^weight * C^(1 - weight))`` from two log-probabilities, each at least ``LOG_FLOOR``."""
    p, c = (max(x, LOG_FLOOR) if x == x else LOG_FLOOR for x in (step, correct))
    return weight * p + (1 - weight) * c


def drawn(scores: Sequence[float], k: int, tau: float, stream: Stream) -> list[int]:
    """``k`` distinct indices, drawn one after the other in proportion to ``exp(score / tau)``; ascending."""
    logits = np.asarray(scores, dtype=np.float64) / max(tau, 1e-12)
    # the k largest of logits with Gumbel noise are such a draw
    noisy = logits - np.log(-np.log(stream.generator().random(len(logits))))
    return sorted(int(i) for i in np.argsort(-noisy, kind="stable")[:k])


def _elected(ask: Ask, done: Sequence[Chain], live: Sequence[Chain]) -> Final:
    """The majority of finished chains, of equally frequent answers the best-scored one's."""
    texts = ["\n".join(c.steps) for c in done]
    names = ask.question.names(texts)
    if not any(names):
        best = max((*done, *live), key=lambda c: c.log, default=Chain())
        return Final("\n".join(best.steps), None, 0.0, tuple(texts))
    vote = votes.majority(names)
    tied = [m for m, t in zip(vote.members, vote.totals, strict=True) if t == max(vote.totals)]
    best_log = {names[m]: max(c.log for c, n in zip(done, names, strict=True) if n == names[m]) for m in tied}
    won = max(tied, key=lambda m: best_log[names[m]])
    share = names.count(names[won]) / len(names)
    return Final(texts[won], ask.question.read(texts[won]), share, tuple(texts))


# buffer of thoughts -------------------------------------------------------------------------------
async def buffer_of_thoughts(ask: Ask, settings: BufferOfThoughts) -> Final:
    """The problem in short, the way that solved the most similar one before, and that way adapted (arXiv
    2406.04271). The buffer is ``question.memory``, filled beforehand by ``distil_thoughts``, so that no
    question hangs on what others of its batch did."""
    _, final = await _adapted(ask, settings)
    return final


async def distil_thoughts(ask: Ask, settings: DistilThoughts) -> Final:
    """What fills the buffer, on training questions: solve one as above from what the buffer holds; where the
    verifier accepts it, put the way into words. See ``learnt`` and ``stored``."""
    _, final = await _adapted(ask, settings)
    if ask.question.verifier(final.text).correct:
        ask.keep(final)
        await ask(ask.put("thought", solution=final.text), temperature=0.0)
        return replace(final, notes={**final.notes, "learnt": 1.0})
    return final


async def _adapted(ask: Ask, settings: BufferOfThoughts) -> tuple[str, Final]:
    short = (await ask(ask.put("distil"), temperature=0.0)).text.strip()
    memory = ask.question.memory
    likeness, best = nearest(short, [key for key, _ in memory])[0] if memory else (0.0, 0)
    known = bool(memory) and likeness >= settings.delta
    template = memory[best][1] if known else ask.put("generic")
    reply = await ask(ask.put("instantiate", distilled=short, template=template), temperature=0.0)
    notes = {"likeness": likeness, "generic": float(not known)}
    return short, ask.keep(replace(plain(ask, reply), notes=notes))


def learnt(calls: Sequence[str]) -> tuple[str, str] | None:
    """The thought in the calls of one ``distil_thoughts``: the problem in short and the way. None where the
    verifier did not accept its solution."""
    return (calls[0].strip(), calls[2].strip()) if len(calls) == 3 else None


def stored(
    found: Sequence[tuple[str, str] | None], delta: float, memory: Sequence[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """The buffer with what was found, in order: what is as similar as ``delta`` to a stored one is left
    out, and so is what is empty. A pure function: the training pass may run in any order."""
    held = list(memory)
    for thought in found:
        if thought is None or not all(thought):
            continue
        if not held or nearest(thought[0], [key for key, _ in held])[0][0] < delta:
            held.append(thought)
    return held
