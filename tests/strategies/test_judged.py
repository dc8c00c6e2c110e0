"""Strategies with a judge, against a scripted model."""

from __future__ import annotations

import re

import pytest

from sharpen.score.first_error import judge_prompt
from sharpen.score.verdict import Verdict
from sharpen.strategies import STRATEGIES
from sharpen.strategies.ask import Budget
from sharpen.strategies.judged import solution_steps
from sharpen.strategies.question import Question
from sharpen.strategies.words import NANO_2
from sharpen.tasks.environment import call
from sharpen.tasks.machine import Machine
from tests.strategies.scripted import answers, asked, play, policy

JUDGED = "earliest paragraph"


def judging(solutions, said):
    """Solves with ``solutions`` in turn; ``said``: the judge's reply by what it is shown."""
    drawn = iter(solutions)
    return lambda prompt: (said(prompt) if callable(said) else said) if JUDGED in prompt else next(drawn)


def boxes(**by_answer):
    """A judge who boxes a number by the answer that it is shown."""
    return lambda p: next((f"\\boxed{{{v}}}" for a, v in by_answer.items() if f"Answer: {a[1:]}\n" in p), "?")


def text(answer, steps=3):
    return "\n".join([*(f"line {i}" for i in range(steps)), f"Answer: {answer}"])


# Self-PRM ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pick", ["score", "accepted_vote", "first_accepted"])
@pytest.mark.parametrize("n", [1, 3])
def test_calls_are_the_samples_and_their_judgments(pick, n):
    said = judging([text(a) for a in "5675"], "\\boxed{-1}")
    played = play(f"self_prm:samples=4,judgments={n},pick={pick}", said)
    assert played.calls == 4 + 4 * n
    laws = {r.law.greedy for r in played.requests[4:]}
    assert laws == {n == 1}
    assert len(set(played.prompts[4:])) == 3  # the two samples with answer 5 are alike
    reply = len(policy().tokenizer.encode("\\boxed{-1}")) + 1
    assert played.final.notes["judge_tokens"] == 4 * n * reply
    one = play(f"self_prm:samples=1,pick={pick}", judging([text(5)], "\\boxed{0}"))
    assert (one.calls, one.final.answer) == (2, "5")


def test_the_judge_chooses_by_score_and_equals_vote():
    solutions = [text(a) for a in "577559"]
    accepts = boxes(_5=1, _7=-1, _9=-1)
    assert play("self_prm:samples=6", judging(solutions, accepts)).final.answer == "7"
    # shares of steps before the first error: 0 of 4 and 2 of 4
    worse = play("self_prm:samples=6", judging(solutions, boxes(_5=0, _7=0, _9=2))).final
    assert (worse.answer, worse.notes["accepted"]) == ("9", 0)
    everything = play("self_prm:samples=6", judging(solutions, "\\boxed{-1}")).final
    assert (everything.answer, everything.notes["fallback"]) == ("5", 0)


@pytest.mark.parametrize(("pick", "answer"), [("accepted_vote", "7"), ("first_accepted", "9")])
def test_variants(pick, answer):
    solutions = [text(a) for a in "597755"]
    said = judging(solutions, boxes(_5=0, _7=-1, _9=-1))
    assert play(f"self_prm:samples=6,pick={pick}", said).final.answer == answer
    none = play(f"self_prm:samples=6,pick={pick}", judging(solutions, "\\boxed{0}")).final
    assert (none.answer, none.notes["fallback"]) == ("5", 1)
    assert "unknown selection" in play("self_prm:pick=best", judging(solutions, "")).final.stop


def test_nonsense_of_the_judge_is_counted_and_falls_back_to_the_majority():
    solutions = [text(a) for a in "677"]
    for said in ("I like it", "\\boxed{none}", "\\boxed{2, 3}", "\\boxed{4}"):
        final = play("self_prm:samples=3", judging(solutions, said)).final
        assert (final.answer, final.stop) == ("7", "done")
        assert (final.notes["fallback"], final.notes["unread"]) == (1, 3)


def test_what_has_no_answer_is_never_judged_or_chosen():
    played = play("self_prm:samples=3", judging(["", "no idea", text(8)], "\\boxed{0}"))
    assert (played.calls, played.final.answer) == (3 + 1, "8")
    alone = play("self_prm:samples=2", judging(["", "no idea"], "\\boxed{-1}"))
    assert (alone.calls, alone.final.answer, alone.final.notes["fallback"]) == (2, None, 1)


def test_several_judgments_are_averaged():
    turns = {"Answer: 5": iter([-1, 0]), "Answer: 6": iter([3, 3])}
    said = lambda p: f"\\boxed{{{next(next(v for k, v in turns.items() if k in p))}}}"  # noqa: E731
    # means 0.5 and 0.75
    played = play("self_prm:samples=2,judgments=2", judging([text(5), text(6)], said))
    assert played.final.answer == "6"


def test_the_judge_sees_one_solution_and_nothing_else():
    question = asked(verify=lambda t: Verdict(float("9" in t)))
    said = judging([text(a) for a in (51, 62)], "\\boxed{-1}")
    played = play("self_prm:samples=2", said, question=question)
    steps = [f"line {i}" for i in range(3)]
    expected = [judge_prompt("How much is 9+9?", [*steps, f"Answer: {a}"]) for a in (51, 62)]
    assert sorted(played.prompts[2:]) == expected
    assert "judge" in STRATEGIES["self_prm"].needs
    nano = play("self_prm:samples=1", [text(5), "\\boxed{-1}"], words=NANO_2)
    assert nano.prompts[1].startswith("judge How much is 9+9?\n0. line 0\n")


def test_a_reference_is_an_own_sample_that_is_not_judged():
    said = judging([text(a) for a in (51, 62, 73)], "\\boxed{-1}")
    played = play("self_prm:samples=2,reference=true", said)
    assert played.calls == 2 + 1 + 2
    for prompt in played.prompts[3:]:
        assert "which may be wrong:\nline 0\nline 1\nline 2\nAnswer: 73\n" in prompt
        assert prompt.count("73") == 1
    # another draw of the same request, not one of the judged
    assert len({r.stream for r in played.requests[:3]}) == 3


def test_steps_are_paragraphs_or_lines_behind_the_thinking():
    assert solution_steps("<think>a\n\nb</think>\nc\nd") == ["c", "d"]
    assert solution_steps("a\nb\n\nc") == ["a\nb", "c"]
    assert solution_steps(" \n ") == []
    assert solution_steps("one") == ["one"]


# overthinking -------------------------------------------------------------------------------------------
SOURCE = Machine(level=1)
TASK = SOURCE.take("test", 1)[0]
QUESTION = Question("q", TASK.prompt, environment=lambda: SOURCE.environment(TASK))
MENDED = call(TASK.answer.split("; ")[0])
CAREFUL = [call("run 1"), MENDED, call("run 1"), call("finish")]
RASH = [MENDED, call("finish")]
IDLE = ["Let me think."] * 12
LOOK = "whether an agent prefers its own chain"


def acting(*attempts, judge="no"):
    """Attempts side by side: each begins in its turn, and goes on where the prompt shows what it did."""
    begun = iter(attempts)

    def script(prompt):
        if LOOK in prompt:
            return judge(prompt) if callable(judge) else judge
        history = prompt.split("if anything:\n")[1].split("\n\nActions:")[0]
        k = history.count("Observation: ")
        if not k:
            return next(begun)[0]
        shown = ["".join(f"{re.escape(m)}\nObservation: [^<]*" for m in a[:k]) for a in attempts]
        return next(a[k] for a, s in zip(attempts, shown, strict=True) if re.match(s, history))

    return script


def test_the_least_overthinking_attempt_is_taken():
    played = play("least_overthinking:attempts=2", acting(RASH, CAREFUL), question=QUESTION)
    assert played.calls == len(RASH) + len(CAREFUL)
    assert played.final.notes["score"] == 0
    assert played.final.answer == "; ".join(c[6:-7] for c in CAREFUL)
    assert len(played.final.candidates) == 2
    idle = play("least_overthinking:attempts=2", acting(IDLE, RASH), question=QUESTION).final
    assert idle.answer == "; ".join(c[6:-7] for c in RASH)  # 9 against 10


def test_an_attempt_that_outgrows_the_context_ends_no_other():
    wordy = ["x" * 3000] * 12  # the third prompt is longer than the model reads
    for attempts in ((wordy, CAREFUL), (CAREFUL, wordy)):
        script = acting(*attempts)
        final = play(
            "least_overthinking:attempts=2", script, question=QUESTION, max_new_tokens=3200
        ).final  # fmt: skip
        assert final.answer == "; ".join(c[6:-7] for c in CAREFUL)
        assert final.notes["failed"] == 1
        assert len(final.candidates) == 1
    alone = play("least_overthinking:attempts=1", acting(wordy), question=QUESTION, max_new_tokens=3200).final
    assert alone.stop.startswith("error")


@pytest.mark.parametrize(
    ("by", "winner"), [("disengaged", CAREFUL), ("shortest", RASH), ("reasoning", CAREFUL)]
)
def test_controls(by, winner):
    # the rash one thinks long before each action
    rash = [f"{'hm ' * 9}{m}" for m in RASH]
    played = play(f"least_overthinking:attempts=2,by={by}", acting(rash, CAREFUL), question=QUESTION)
    assert played.final.answer == "; ".join(c[6:-7] for c in winner)


def test_ties_are_drawn_from_the_questions_own_stream():
    def winner(by, name):
        question = Question(name, TASK.prompt, environment=QUESTION.environment)
        other = [call("run 2"), *CAREFUL[1:]]
        final = play(
            f"least_overthinking:attempts=2,by={by}", acting(CAREFUL, other), question=question
        ).final
        return final.answer.startswith("run 1")

    ways = [winner("rules", f"q{i}") for i in range(12)]
    assert len(set(ways)) == 2
    assert (
        ways
        == [winner("random", f"q{i}") for i in range(12)]
        == [winner("rules", f"q{i}") for i in range(12)]
    )


def score(n):
    return f'<answer>{{"overthinking_score": "{n}", "reasoning": "x"}}</answer>'


def test_a_judge_scores_and_what_it_does_not_score_ranks_last():
    kind = lambda p: "8" if "run 1" in p else "3"  # noqa: E731
    script = acting(CAREFUL, RASH, judge=lambda p: score(kind(p)))
    played = play("least_overthinking:attempts=2,by=judge", script, question=QUESTION)
    assert played.calls == len(RASH) + len(CAREFUL) + 2
    assert (played.final.answer, played.final.notes["score"]) == ("; ".join(c[6:-7] for c in RASH), 3)
    assert all(r.law.greedy for r in played.requests[-2:])
    # nonsense for one of them: asked again, then last, never 0
    script = acting(CAREFUL, RASH, judge=lambda p: score(9) if "run 1" in p else "no idea")
    played = play("least_overthinking:attempts=2,by=judge,retries=2", script, question=QUESTION)
    assert played.calls == len(RASH) + len(CAREFUL) + 1 + 3
    assert (played.final.notes["unscored"], played.final.notes["score"]) == (1, 9)
    nobody = play(
        "least_overthinking:attempts=2,by=judge,retries=0", acting(CAREFUL, RASH), question=QUESTION
    )
    assert (nobody.final.notes["unscored"], "score" in nobody.final.notes) == (2, False)
    assert nobody.final.answer is not None


def test_the_judge_is_not_told_how_it_ended_and_nobody_asks_the_verifier():
    prompts = []
    for right in (True, False):
        question = Question("q", TASK.prompt, environment=QUESTION.environment,
                            verify=lambda t, right=right: Verdict(float(right)))  # fmt: skip
        script = acting(CAREFUL, judge=score(1))
        played = play("least_overthinking:attempts=1,by=judge", script, question=question)
        prompts.append(played.prompts[-1])
    assert prompts[0] == prompts[1]
    assert "OBSERVATION:\nfinished" in prompts[0]


def test_several_actions_of_a_message_are_carried_out_unseen():
    rogue = [MENDED + call("run 1"), call("finish")]
    played = play("least_overthinking:attempts=1", acting(rogue), question=QUESTION)
    assert played.calls == 2
    assert played.final.notes["score"] >= 4


# stated confidence -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "said", "confidence"),
    [("", "so.\nConfidence: 80%\nAnswer: 5", 0.8),
     (":kind=maths", "<answer>5</answer><confidence>80%</confidence>", 0.8),
     (":mode=probability", "<answer>5</answer>\n<confidence>0.3</confidence>", 0.3), ("", "Answer: 5", None),
     ("", "Confidence: 120%\nAnswer: 5", None), ("", "Confidence: very\nAnswer: 5", None)],
)  # fmt: skip
def test_the_stated_confidence_is_the_confidence(spec, said, confidence):
    played = play(f"stated_confidence{spec}", [said])
    assert (played.calls, played.final.answer, played.final.confidence) == (1, "5", confidence)
    assert played.final.text.endswith("Answer: 5")
    assert "onfidence" not in played.final.text
    assert "How much is 9+9?" in played.prompts[0]


def test_reflection_is_a_second_turn_and_keeps_the_first_answer():
    said = ["<answer>5</answer>", "rather <answer>6</answer> <confidence>30%</confidence>"]
    played = play("stated_confidence:mode=reflect", said)
    assert (played.calls, played.final.answer, played.final.confidence) == (2, "5", 0.3)
    assert "onfidence" not in played.prompts[0]
    assert "<answer>5</answer>" in played.prompts[1]
    invalid = play("stated_confidence:mode=reflect", ["<answer>5</answer>", "sure"])
    assert (invalid.final.answer, invalid.final.confidence) == ("5", None)


def test_without_an_answer_or_cut_there_is_no_confidence():
    none = play("stated_confidence", ["Confidence: 90%"]).final
    assert (none.answer, none.confidence) == (None, None)
    cut = play("stated_confidence", ["Confidence: 90%\nAnswer: 5" + " " * 99], max_new_tokens=30).final
    assert cut.confidence is None
    assert "unknown confidence mode" in play("stated_confidence:mode=loud", ["x"]).final.stop


@pytest.mark.parametrize("name", ["self_prm", "stated_confidence:mode=reflect"])
def test_a_budget_of_one_call_still_gives_an_answer(name):
    played = play(name, answers("18"), budget=Budget(calls=1))
    assert (played.calls, played.final.answer, played.final.stop) == (1, "18", "budget")


def test_a_budget_of_one_call_cuts_the_acting_short():
    played = play("least_overthinking", [call("read 0")], question=QUESTION, budget=Budget(calls=1))
    assert (played.calls, played.final.stop) == (1, "budget")
