"""Strategies in which a judge, mostly the model itself, chooses among attempts or says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Finish
from sharpen.score import overthinking_judge
from sharpen.score.confidence import (
    Mode,
    answer_request,
    gradable,
    reflection,
    request,
    spoken,
    stated,
    stated_in_reflection,
)
from sharpen.score.first_error import (
    NO_ERROR,
    boxed,
    first_error,
    judge_prompt,
    mean_step_score,
    paragraphs,
    voted,
)
from sharpen.score.overthinking import patterns, rule_score
from sharpen.select.steps import accepted_vote, by_steps, first_accepted
from sharpen.select.thinking import least_overthinking as lowest
from sharpen.strategies.acting import Course, played
from sharpen.strategies.ask import Ask, Dropped, Final
from sharpen.strategies.selection import chosen, majority, texts


@dataclass(frozen=True)
class SelfPrm:
    """``samples`` solutions, each judged ``judgments`` times (once: greedily). ``pick``: ``score`` (the best
    step score, among equals the majority), ``accepted_vote`` or ``first_accepted``. ``reference``: an own
    solution, of which nothing is known, stands in the judge's prompt (Self-REF)."""

    samples: int = 16
    judgments: int = 1
    pick: str = "score"
    reference: bool = False


@dataclass(frozen=True)
class LeastOverthinking:
    """``attempts`` of up to ``steps`` turns. ``by``: ``rules``, ``judge`` (a reply of the model, up to
    ``retries`` more where it cannot be read), or a control: ``disengaged`` (that pattern alone), ``shortest``
    (fewest turns), ``reasoning`` (fewest tokens of thought), ``random``. ``limit``: characters the judge
    reads."""

    attempts: int = 2
    steps: int = 12
    by: str = "rules"
    retries: int = 3
    limit: int = 12000


@dataclass(frozen=True)
class StatedConfidence:
    """``mode``: ``percent``, ``probability`` or ``reflect`` (the answer first, the confidence in a second
    turn). ``kind``: of the question: ``maths``, ``choice``, ``short`` or ``parts``; ``words`` asks for a
    percentage in the model's own words for it."""

    mode: str = "percent"
    kind: str = "words"


# Self-PRM -------------------------------------------------------------------------------------------
async def self_prm(ask: Ask, settings: SelfPrm) -> Final:
    """The policy judges its own samples step by step, and the best-judged one is taken (arXiv 2505.11227)."""
    pickers = {"score": by_steps, "accepted_vote": accepted_vote, "first_accepted": first_accepted}
    if settings.pick not in pickers:
        raise unknown("selection", settings.pick, pickers)
    replies = await ask.many(settings.samples)
    ask.keep(majority(ask, replies))
    names = ask.question.names(texts(replies))
    own = (await ask()).whole if settings.reference else None
    before = ask.spent.tokens
    steps = [solution_steps(r.whole) if n is not None else [] for r, n in zip(replies, names, strict=True)]
    said = await ask.gather(*(_judged(ask, settings, s, own) for s in steps))
    indices = [[first_error(t) for t in told] for told in said]
    unread = sum(i is None or i >= len(s) for s, found in zip(steps, indices, strict=True) for i in found)
    judged = [voted([boxed(t) for t in told]) for told in said]
    if settings.pick == "score":
        scores = [mean_step_score(i, len(s)) for i, s in zip(indices, steps, strict=True)]
        pick = by_steps(names, scores)
    else:
        pick = pickers[settings.pick](names, [v == NO_ERROR for v in judged])
    notes = {
        "fallback": float(pick.fallback),
        "accepted": float(judged.count(NO_ERROR)),
        "unread": float(unread),
        "judge_tokens": float(ask.spent.tokens - before),
    }
    return chosen(ask, replies, pick.index, notes=notes)


async def _judged(ask: Ask, settings: SelfPrm, steps: Sequence[str], own: str | None) -> list[str]:
    """The judgments of one solution; a solution without steps, or without an answer, is not shown."""
    if not steps:
        return []
    if own is None:
        prompt = ask.put("judge", steps=list(steps))
    else:
        prompt = judge_prompt(ask.question.text, steps, reference=spoken(own))
    law = {"temperature": 0.0} if settings.judgments == 1 else {}
    return await ask.gather(*(_told(ask, prompt, **law) for _ in range(settings.judgments)))


async def _told(ask: Ask, prompt: str, **law: float | None) -> str:
    """A judge's reply; empty, so unread, where the engine dropped it or the prompt is too long for it."""
    try:
        return (await ask(prompt, **law)).whole
    except (Dropped, SharpenError):
        return ""


def solution_steps(text: str) -> list[str]:
    """The steps of a solution as the judge sees them, without the thinking before it: its paragraphs, or,
    where it has only one, its lines."""
    found = paragraphs(spoken(text))
    return found if len(found) != 1 else [line.strip() for line in found[0].splitlines() if line.strip()]


# overthinking -----------------------------------------------------------------------------------------
async def least_overthinking(ask: Ask, settings: LeastOverthinking) -> Final:
    """Of several attempts at acting, the one that overthinks least (arXiv 2502.08235): ties at random, what
    could not be scored last. Whether an attempt succeeded is known to nobody here."""
    if settings.by not in ("rules", "judge", *_CONTROLS):
        raise unknown("score", settings.by, ("rules", "judge", *_CONTROLS))
    problems: list[Exception] = []
    found = await ask.gather(*(_survived(ask, settings, problems) for _ in range(settings.attempts)))
    courses = [c for c in found if c is not None]
    if not courses:
        raise problems[0]
    ask.keep(_taken(ask, courses, 0))
    if settings.by == "judge":
        scores = await ask.gather(*(_asked(ask, settings, c) for c in courses))
    elif settings.by == "rules":
        scores = [float(rule_score(c.turns)) for c in courses]
    else:
        scores = [_CONTROLS[settings.by](c) for c in courses]
    index = lowest(scores, stream=ask.stream("ties"))
    known = [s for s in scores if s is not None]
    notes = {
        "unscored": float(len(scores) - len(known)),
        "score": scores[index] if scores[index] is not None else float("nan"),
        "policy_tokens": float(sum(c.tokens for c in courses)),
        "failed": float(len(problems)),
    }
    return ask.keep(replace(_taken(ask, courses, index), notes={k: v for k, v in notes.items() if v == v}))


async def _survived(ask: Ask, settings: LeastOverthinking, problems: list[Exception]) -> Course | None:
    """One attempt; None, and why, where it could not go on: a lost reply and an outgrown context are no
    matter of the other attempts."""
    try:
        return await played(ask, settings.steps, one=False)
    except (Dropped, SharpenError) as problem:
        problems.append(problem)
        return None


_CONTROLS = {
    "disengaged": lambda c: float(patterns(c.turns).disengaged),
    "shortest": lambda c: float(len(c.turns)),
    "reasoning": lambda c: float(sum(t.reasoning for t in c.turns)),
    "random": lambda c: 0.0,
}


def _taken(ask: Ask, courses: Sequence[Course], index: int) -> Final:
    """One of the attempts as the result; the others were candidates."""
    finals = [c.final(ask) for c in courses]
    return replace(finals[index], candidates=tuple(f.text for f in finals if f.text))


async def _asked(ask: Ask, settings: LeastOverthinking, course: Course) -> float | None:
    """The judge's score, None where no reply of it can be read."""
    if not course.turns:
        return overthinking_judge.WITHOUT_TURNS
    shown, _ = overthinking_judge.transcript(ask.question.text, course.turns, limit=settings.limit)
    prompt = overthinking_judge.judge_prompt(shown)
    for attempt in range(settings.retries + 1):
        # a greedy reply would be the same again
        reply = await _told(ask, prompt, temperature=None if attempt else 0.0)
        score = overthinking_judge.read_score(reply)
        if score is not None:
            return score
    return None


# stated confidence ---------------------------------------------------------------------------------
async def stated_confidence(ask: Ask, settings: StatedConfidence) -> Final:
    """The model says how sure it is (arXiv 2504.06564). An item that cannot be read, or was cut, has no
    confidence; the answer stands."""
    if settings.mode == "reflect":
        first = await ask(_before(ask, answer_request(_kind(settings))))
        ask.keep(_said(ask, first.whole, None))
        second = await ask(reflection(ask.question.text, first.whole))
        cut = Finish.LENGTH in (first.finish, second.finish)
        item = stated_in_reflection(first.whole, second.whole, truncated=cut)
        return _said(ask, first.whole, item.confidence if item.valid else None)
    if settings.mode not in ("percent", "probability"):
        raise unknown("confidence mode", settings.mode, ("percent", "probability", "reflect"))
    mode: Mode = "percent" if settings.mode == "percent" else "probability"
    plainly = mode == "percent" and settings.kind == "words"
    prompt = ask.put("confidence") if plainly else _before(ask, request(_kind(settings), mode))
    reply = await ask(prompt)
    item = stated(reply.whole, mode=mode, truncated=reply.finish is Finish.LENGTH)
    return _said(ask, reply.whole, item.confidence if item.valid else None)


def _kind(settings: StatedConfidence) -> str:
    return "maths" if settings.kind == "words" else settings.kind


def _before(ask: Ask, instruction: str) -> str:
    return f"{instruction}\n{ask.question.text}\n"


def _said(ask: Ask, text: str, confidence: float | None) -> Final:
    """The reply as graders read it."""
    shown = gradable(spoken(text))
    answer = ask.question.read(shown)
    return ask.keep(Final(shown, answer, confidence if answer is not None else None, (shown,)))
