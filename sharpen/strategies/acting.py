"""Strategies that act: in a question's environment, or with its tools, one turn after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Finish
from sharpen.score.answers import extract_answer
from sharpen.score.overthinking import Kind, Turn, patterns, read_turn
from sharpen.score.sandbox import call_function, last_block
from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.memory import nearest
from sharpen.strategies.question import Search
from sharpen.strategies.selection import majority, plain
from sharpen.tasks.environment import CALLS, INVALID, MOST_ACTIONS, Environment, Step, call
from sharpen.tasks.expression import parse

LONGEST_OBSERVATION = 256
"""Tokens of an observation that are shown."""
CLOSE = "</tool>"


@dataclass(frozen=True)
class Saycan:
    """``steps`` at most; ``done``: how likely ending is taken to be right, beside the skills' own chances."""

    steps: int = 20
    done: float = 0.1


@dataclass(frozen=True)
class InnerMonologue(Saycan):
    """As ``Saycan``."""


@dataclass(frozen=True)
class React:
    """``steps`` at most. ``backoff``: ``none``; ``to_votes`` (the majority of ``samples`` where it does not
    finish); ``from_votes`` (only where that majority's share is below ``share``)."""

    steps: int = 7
    backoff: str = "none"
    samples: int = 16
    share: float = 0.5


@dataclass(frozen=True)
class Reflexion:
    """``trials`` at most, each of ``steps`` turns (questions without tools: one reply); the last ``memory``
    reflections are shown. ``reflect=false`` is a control: trials without any."""

    trials: int = 3
    steps: int = 12
    memory: int = 3
    reflect: bool = True


@dataclass(frozen=True)
class ReflexionVerified(Reflexion):
    """As ``Reflexion``."""


@dataclass(frozen=True)
class Voyager:
    """``tasks`` proposed at most, ``repairs`` of a program; the ``near`` most similar programs are shown; one
    whose task is as similar as ``delta`` to a stored one's is not stored."""

    tasks: int = 6
    repairs: int = 4
    near: int = 5
    delta: float = 0.9


# skills, scored ------------------------------------------------------------------------------------
async def saycan(ask: Ask, settings: Saycan) -> Final:
    """Each step takes the skill with the largest product of what the model says and what the state affords
    (arXiv 2204.01691). The model sees the first state and the skills used, nothing is sampled."""
    return await _skilful(ask, settings, told=False)


async def inner_monologue(ask: Ask, settings: InnerMonologue) -> Final:
    """As ``saycan``, but what came of each skill, and that it failed, is put before the model (arXiv
    2207.05608): it can plan anew."""
    return await _skilful(ask, settings, told=True)


async def _skilful(ask: Ask, settings: Saycan, *, told: bool) -> Final:
    world = _world(ask)
    lines, stop = [world.reset()], "max"
    for _ in range(settings.steps):
        afford = {**world.skills(), "done": settings.done}
        prompt = ask.put("skill", state="\n".join(lines), skills=list(afford)[:-1])
        said = await ask.gather(*(ask.score(prompt, skill) for skill in afford))
        chosen = best_skill([r.total() for r in said], list(afford.values()))
        skill = list(afford)[chosen] if chosen is not None else "done"
        if skill == "done":
            stop = "done"
            break
        step = world.act(call(skill))
        ask.tool()
        seen = ask.clip(step.observation, LONGEST_OBSERVATION)
        lines.append(f"{skill}: {'' if step.ok else 'failed: '}{seen}" if told else skill)
        ask.keep(_played(ask, world, "max"))
        if step.done:
            stop = "done"
            break
    return ask.keep(_played(ask, world, stop))


def best_skill(said: Sequence[float], afford: Sequence[float]) -> int | None:
    """The index of the largest ``p * affordance``, ``said`` being logarithms of p; of equal ones the first;
    None where the state affords none."""
    values = [s + math.log(a) if a > 0 and s == s else -math.inf for s, a in zip(said, afford, strict=True)]
    best = max(values, default=-math.inf)
    return None if best == -math.inf else values.index(best)


# thought, action, observation -----------------------------------------------------------------------
async def react(ask: Ask, settings: React) -> Final:
    """Thoughts, actions and observations in turns, until an answer or the environment's end (arXiv
    2210.03629); with back-off to the majority of samples, or from it."""
    if settings.backoff not in ("none", "to_votes", "from_votes"):
        raise unknown("back-off", settings.backoff, ("none", "to_votes", "from_votes"))
    voted = None
    if settings.backoff == "from_votes":
        voted = majority(ask, await ask.many(settings.samples))
        if (voted.confidence or 0.0) >= settings.share:
            return voted
    course = await played(ask, settings.steps)
    final = course.final(ask)
    if final.stop == "done" or settings.backoff == "none":
        return ask.keep(final)
    voted = voted or majority(ask, await ask.many(settings.samples))
    return ask.keep(replace(voted, notes={"backoff": 1.0}))


@dataclass
class Course:
    """One attempt at acting.

    Attributes:
        world: where. history: each message with what came back. turns: the same, for judges.
        tokens: sampled ones. said: the message that gives the answer, None where none did.
        ended: whether it ended by itself: an answer, or the environment's end before its limit of turns.
        fine: whether the last step went well.
    """

    world: Any
    history: list[tuple[str, str]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tokens: int = 0
    said: str | None = None
    ended: bool = False
    fine: bool = True

    def final(self, ask: Ask) -> Final:
        """The answer, or the course of actions, as the result."""
        stop = "done" if self.ended else "max"
        if isinstance(self.world, Tools):
            answer = None if self.said is None else ask.question.read(self.said)
            return Final(self.said or "", answer, candidates=(self.said,) if self.said else (), stop=stop)
        return _played(ask, self.world, stop)

    @property
    def text(self) -> str:
        """All of it, to be read."""
        seen = [f"{said}\n{observation}" for said, observation in self.history]
        return "\n".join([*seen, *([self.said] if self.said is not None else [])])


async def played(ask: Ask, steps: int, *, one: bool = True, lessons: Sequence[str] = ()) -> Course:
    """One attempt of up to ``steps`` messages; ``one``: a message ends behind its first action."""
    question = ask.question
    world: Any = Tools(question.search) if question.environment is None else _world(ask)
    shown = world.reset()
    course = Course(world)
    for _ in range(steps):
        prompt = _prompt(ask, world, shown, course.history, lessons)
        reply = await ask(prompt, stop=(CLOSE,) if one else ())
        course.tokens += reply.tokens
        text = reply.whole
        # the stop string is cut off; a call that the model itself left open stays open
        if reply.finish is Finish.STOP and text.count("<tool>") > text.count(CLOSE):
            text += CLOSE
        if isinstance(world, Tools) and not CALLS.search(text) and extract_answer(text) is not None:
            course.said, course.ended = text, True
            ask.keep(course.final(ask))
            return course
        step = world.act(text)
        ask.tool()
        seen = ask.clip(step.observation, LONGEST_OBSERVATION)
        acted = sum(ask.count(c) for c in CALLS.findall(text))
        kinds = {name: Kind(kind) for name, kind in world.kinds.items()}
        course.history.append((text, seen))
        thought = max(reply.tokens - acted, 0)
        course.turns.append(read_turn(text, seen, ok=step.ok, kinds=kinds, reasoning=thought))
        course.fine = step.ok
        course.ended = step.done and course.world.turn < course.world.limit
        ask.keep(course.final(ask))
        if step.done:
            break
    return course


def _prompt(
    ask: Ask, world: Any, shown: str, history: Sequence[tuple[str, str]], lessons: Sequence[str]
) -> str:
    """The calculator has a role of its own; every other tool or environment is described."""
    if isinstance(world, Tools) and world.search is None:
        return ask.put("act", history=history)
    asked = f"{ask.question.text}\n{shown}".strip()
    told = {"advice": "\n".join(lessons), "actions": "\n".join(world.actions)}
    return ask.put("play", question=asked, history=history, **told)


class Tools:
    """Tools in the shape of an environment: a search tool where there is one, else a calculator."""

    kinds: ClassVar[Mapping[str, str]] = {}

    def __init__(self, search: Search | None, limit: int = 1000) -> None:
        self.search, self.limit, self.turn = search, limit, 0
        self.actions = ("search WORDS",) if search else ("EXPRESSION",)

    def reset(self) -> str:
        """Nothing is seen before a tool is used."""
        self.turn = 0
        return ""

    def act(self, text: str) -> Step:
        """The tools' answers, a line each; a tool that fails says why."""
        self.turn += 1
        said = [self._use(c) for c in CALLS.findall(text)[:MOST_ACTIONS]]
        observation = "\n".join(said) or INVALID
        return Step(observation, False, bool(said) and INVALID not in said)

    def _use(self, query: str) -> str:
        if not query.strip():
            return INVALID
        if self.search is None:
            node = parse(query.strip())
            value = None if node is None else node.fraction()
            return INVALID if value is None else str(value)
        try:
            return self.search(query.strip().removeprefix("search "))
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"


# trials and lessons --------------------------------------------------------------------------------
async def reflexion(ask: Ask, settings: Reflexion) -> Final:
    """Trials, with the lessons of those that failed (arXiv 2303.11366). What counts as a failure is told by
    rules that see no gold: no answer, no end, or an end that was declared unchecked."""
    return await _trials(ask, settings, oracle=False)


async def reflexion_verified(ask: Ask, settings: ReflexionVerified) -> Final:
    """``reflexion`` that is told by the verifier whether a trial failed: an oracle."""
    return await _trials(ask, settings, oracle=True)


async def _trials(ask: Ask, settings: Reflexion, *, oracle: bool) -> Final:
    lessons: list[str] = []
    found: list[str] = []
    final = Final()
    for trial in range(settings.trials):
        final, attempt, outcome = await _trial(ask, settings.steps, lessons[-settings.memory :])
        found.append(final.text)
        failed = not ask.question.verifier(final.text).correct if oracle else bool(outcome)
        final = ask.keep(replace(final, candidates=tuple(found), notes={"trials": float(trial + 1)}))
        if not failed:
            return replace(final, stop="done")
        if settings.reflect and trial + 1 < settings.trials:
            said = await ask(ask.put("reflect", attempt=attempt, feedback=outcome or "wrong"))
            lessons.append(" ".join(said.text.split()))
    return replace(final, stop="max")


async def _trial(ask: Ask, steps: int, lessons: Sequence[str]) -> tuple[Final, str, str]:
    """A trial's result, all of it as text, and how it failed by the rules, empty where it did not."""
    if ask.question.environment is not None or ask.question.search is not None:
        course = await played(ask, steps, lessons=lessons)
        seen = course.history[-1][1] if course.history else "nothing done"
        declared = any(Kind.FINISH in t.actions for t in course.turns)
        unchecked = declared and patterns(course.turns).disengaged
        good = course.ended and course.fine and not unchecked
        return course.final(ask), course.text, "" if good else "unchecked" if unchecked else seen
    reply = await ask(ask.put("remember", lessons=list(lessons)) if lessons else None)
    final = plain(ask, reply)
    cut = "cut off" if reply.finish is Finish.LENGTH else ""
    return final, reply.whole, cut or ("" if final.answer is not None else "no answer")


# programs as skills --------------------------------------------------------------------------------
async def voyager(ask: Ask, settings: Voyager) -> Final:
    """The model proposes tasks on the way, writes programs that carry them out, and keeps those that did
    (arXiv 2305.16291): all actions went well, and the model's own check agrees. The library starts as
    ``question.memory``; programs run isolated, and what they did to the world is not undone."""
    world = _world(ask)
    seen, done, library = world.reset(), list[str](), list(ask.question.memory)
    for _ in range(settings.tasks):
        proposed = await ask(ask.put("curriculum", state=seen, done=done))
        task = " ".join(proposed.text.split()) or ask.question.text
        near = [library[i][1] for _, i in nearest(task, [k for k, _ in library])] if library else []
        known = {"state": seen, "actions": "\n".join(world.actions)}
        prompt = ask.put("routine", question=task, routines=near[: settings.near], **known)
        for attempt in range(settings.repairs + 1):
            code = last_block(text := (await ask(prompt)).text) or text
            error, told = _carried_out(ask, world, code, seen)
            seen = told.splitlines()[-1] if told else seen
            ask.keep(_learnt(ask, world, library, "max"))
            if not error:
                check = await ask(ask.put("verify", question=task, answer=told), temperature=0.0)
                if check.text.strip().lower().startswith("yes"):
                    done.append(task)
                    library = _with(library, (task, code), settings.delta)
                    break
                error = "the check says no"
            if world.done or attempt == settings.repairs:
                break
            known = {"state": seen, "actions": "\n".join(world.actions)}
            prompt = ask.put("repair", question=task, code=code, error=f"{told}\n{error}".strip(), **known)
        if world.done:
            break
    return ask.keep(_learnt(ask, world, library, "done" if world.done else "max"))


def _carried_out(ask: Ask, world: Any, code: str, state: str) -> tuple[str, str]:
    """Run a program and then the actions it gives, up to the first that fails: what went wrong, empty where
    nothing did, and what was seen."""
    ask.tool()
    ran, results = call_function(code, "act", [[state]], unsafe=ask.question.unsafe)
    actions = results[0] if results else None
    if not isinstance(actions, list) or not all(isinstance(a, str) for a in actions) or not actions:
        last = ran.stderr.strip().splitlines()[-1:] or ["it returns no list of actions"]
        return last[0], ""
    seen: list[str] = []
    for action in actions[: world.limit]:
        step = world.act(call(action))
        ask.tool()
        seen.append(f"{action}: {ask.clip(step.observation, LONGEST_OBSERVATION)}")
        if not step.ok:
            return f"{action} failed", "\n".join(seen)
        if step.done:
            break
    return "", "\n".join(seen)


def _with(library: list[tuple[str, str]], skill: tuple[str, str], delta: float) -> list[tuple[str, str]]:
    """The library with a skill, unless it holds one for a task as similar as ``delta``."""
    near = nearest(skill[0], [key for key, _ in library]) if library else []
    return library if near and near[0][0] >= delta else [*library, skill]


def _learnt(ask: Ask, world: Any, library: Sequence[tuple[str, str]], stop: str) -> Final:
    fresh = len(library) - len(ask.question.memory)
    return replace(_played(ask, world, stop), notes={"skills": float(fresh)})


# what all of them share ------------------------------------------------------------------------------
def _world(ask: Ask) -> Any:
    """A fresh environment. SharpenError where the question has none."""
    make = ask.question.environment
    if make is None:
        raise SharpenError("this strategy acts: its questions need an environment (such as tasks=keydoor)")
    world: Environment = make()
    return world


def _played(ask: Ask, world: Any, stop: str) -> Final:
    """The actions so far as the answer."""
    actions = "; ".join(world.log)
    text = ask.question.write(actions) if actions else ""
    return Final(text, actions or None, candidates=(text,) if text else (), stop=stop)
