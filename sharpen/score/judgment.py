"""What a judge is asked: a score by a rubric, or the better of two responses.

The form is that of Prometheus 2 (arXiv 2405.01535): feedback first, then ``[RESULT]`` and the verdict, and
nothing behind it. ``sharpen.tasks.ratings`` reads the replies.
"""

from __future__ import annotations

from dataclasses import dataclass

from sharpen.tasks.ratings import MARKER


@dataclass(frozen=True, slots=True)
class Rubric:
    """What is judged.

    Attributes:
        criterion: the question that the judge answers.
        scores: what each score means, that of 1 first.
    """

    criterion: str
    scores: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """As a judge reads it."""
        lines = [f"Score {i}: {text}" for i, text in enumerate(self.scores, 1)]
        return "\n".join([f"[{self.criterion}]", *lines])


def score_prompt(
    instruction: str, response: str, rubric: Rubric, *, reference: str = "", rationale: bool = True
) -> str:
    """Asks for a score of one response (an empty one too).

    Args:
        reference: a response that would have the highest score; "" for none.
        rationale: feedback is asked for before the score, or the score alone.
    """
    n = len(rubric.scores) or 5
    first = "Write feedback that judges the response by the criterion alone, then" if rationale else "Only"
    parts = [
        f"An instruction, a response to it and a criterion are given. {first} write {MARKER} and a whole "
        f"number from 1 to {n}, and nothing after it.",
        f"Instruction:\n{instruction}",
        f"Response:\n{response}",
        *([f"A response that would have {n}:\n{reference}"] if reference else []),
        f"Criterion:\n{rubric.written}",
        "Feedback:" if rationale else "Verdict:",
    ]
    return "\n\n".join(parts) + "\n"


def choice_prompt(
    instruction: str, first: str, second: str, rubric: Rubric, *, reference: str = "", rationale: bool = True
) -> str:
    """Asks which of two responses is better, ``A`` (the first) or ``B``."""
    ask = "Write feedback that compares them by the criterion alone, then" if rationale else "Only"
    parts = [
        f"An instruction, two responses to it and a criterion are given. {ask} write {MARKER} and the letter "
        "of the better one, A or B, and nothing after it.",
        f"Instruction:\n{instruction}",
        f"Response A:\n{first}",
        f"Response B:\n{second}",
        *([f"A good response:\n{reference}"] if reference else []),
        f"Criterion:\n{rubric.written}",
        "Feedback:" if rationale else "Verdict:",
    ]
    return "\n\n".join(parts) + "\n"
