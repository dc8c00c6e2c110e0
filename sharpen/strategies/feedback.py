"""Self-refinement in one dialogue: an answer, feedback on it that ends in a verdict, a better answer.

It is what SELF (arXiv 2310.00533) does both while it evolves and at inference. Unlike ``self_refine`` every
turn continues the answer that it is about token by token, feedback ends in a verdict that is parsed and never
guessed, and several answers can each be refined before they vote.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sharpen.score.feedback import Judgment, judgment
from sharpen.strategies.ask import Ask, Final, Reply
from sharpen.strategies.selection import elected, majority


@dataclass(frozen=True)
class SelfFeedback:
    """``rounds`` of refinement at most; ``samples`` of the question that vote once each is refined (1: no
    vote); ``temperature`` of answers, -1 is the run's, while feedback is greedy; ``recheck`` the last
    refinement too, so that its verdict is known."""

    rounds: int = 1
    samples: int = 1
    temperature: float = 0.0
    recheck: bool = False


@dataclass
class Refined:
    """One answer's way: the answers, the last of which counts, and what was said of each that was judged."""

    answers: list[Reply]
    judgments: list[Judgment] = field(default_factory=list)


async def self_feedback(ask: Ask, settings: SelfFeedback) -> Final:
    """See the module. An unparsable verdict asks for a refinement, as one that is not qualified does; an
    empty answer is never qualified. ``stop`` is ``max`` where the last answer was not found qualified."""
    law = {} if settings.temperature < 0 else {"temperature": settings.temperature}
    replies = await ask.many(settings.samples, **law)
    majority(ask, replies)  # what stands if the budget ends here
    ways = await ask.gather(*(_refined(ask, r, settings, law) for r in replies))
    ends = [way.answers[-1] for way in ways]
    texts = [reply.whole for reply in ends]
    names = ask.question.names(texts)
    best = elected(names, ends).index if len(ends) > 1 else 0
    said = [j for way in ways for j in way.judgments]
    notes = {
        "refined": float(sum(len(way.answers) - 1 for way in ways)),
        "unparsable": float(said.count(Judgment.UNPARSABLE)),
        "qualified": float(said.count(Judgment.QUALIFIED)),
    }
    alone = len(ways) == 1
    candidates = tuple(r.whole for r in ways[0].answers) if alone else tuple(texts)
    share = None if alone or names[best] is None else names.count(names[best]) / len(names)
    judged = len(ways[best].judgments) == len(ways[best].answers)
    good = judged and ways[best].judgments[-1] is Judgment.QUALIFIED
    text = texts[best]
    stop = "done" if good else "max"
    return ask.keep(Final(text, ask.question.read(text), share, candidates, stop, notes))


async def _refined(ask: Ask, first: Reply, settings: SelfFeedback, law: dict[str, float]) -> Refined:
    way = Refined([first])
    for left in range(settings.rounds, -1, -1):
        if not left and not settings.recheck:
            break
        feedback = await ask(ask.put("assess"), after=_anew(ask, way.answers[-1]), temperature=0.0)
        said = judgment(feedback.text)
        if said is Judgment.QUALIFIED and not way.answers[-1].text.strip():
            said = Judgment.NOT
        way.judgments.append(said)
        if said is Judgment.QUALIFIED or not left:
            break
        way.answers.append(await ask(ask.put("refine"), after=feedback, **law))
    return way


def _anew(ask: Ask, answer: Reply) -> Reply:
    """An answer as if it were the first one: a refinement is judged, and refined again, without what led to
    it, since a model is taught dialogues of one answer alone."""
    return replace(answer, turns=((ask.question.prompt, answer.turns[-1][1]),)) if answer.turns else answer
