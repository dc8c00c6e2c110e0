"""Process rewards stay in [-1, 1], compose with correctness, and depend on names alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import stream
from sharpen.sample.episode import Finish
from sharpen.score.process import (
    NoisyStepChecker,
    WithProcess,
    compose,
    head_process_reward,
    noisy_step_score,
    step_labels,
)
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import from_function, judge
from tests.scored import episode, task


class Steps:
    name = "steps"
    spec: dict = {"family": "steps"}  # noqa: RUF012

    def steps(self, task, completion):
        return [c == "v" for c in completion]


def test_the_noise_has_the_stated_rates():
    def draws(valid, **noise):
        return np.array([noisy_step_score(valid, stream=stream("noise", i), **noise) for i in range(4000)])

    assert set(draws([True, True], flip=0.0, sd=0.0)) == {1.0}
    assert set(draws([True, False], flip=0.0, sd=0.0)) == {-1.0}
    assert set(draws([], flip=0.0, sd=0.0)) == {-1.0}
    flipped = draws([True], flip=0.15, sd=0.0)
    assert abs((flipped == -1).mean() - 0.15) < 0.02
    noisy = draws([True], flip=0.0, sd=0.3)
    assert abs((noisy == 1.0).mean() - 0.5) < 0.03  # half of the noise is clipped away
    assert abs(np.median(noisy[noisy < 1]) - (1 - 0.3 * 0.674)) < 0.03


def test_noise_belongs_to_the_episode():
    checker = NoisyStepChecker(Steps(), stream(0, "noise"))
    one, two = episode("vvx", sample=0), episode("vvx", sample=1)
    assert checker(task=task(), episode=one) == checker(task=task(), episode=one)
    assert checker(task=task(), episode=one) != checker(task=task(), episode=two)
    assert checker.spec != NoisyStepChecker(Steps(), stream(1, "noise")).spec


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.ERROR])
def test_unfinished_is_minus_one(finish):
    checker = NoisyStepChecker(Steps(), stream(0), flip=0.0, sd=0.0)
    assert checker(task=task(), episode=episode("vvv", finish=finish)) == -1.0
    assert checker(task=task(), episode=episode("vvv")) == 1.0
    assert head_process_reward([4.0, 5.0], finished=False) == -1.0


def test_bad_settings_and_sources_are_refused():
    with pytest.raises(SharpenError, match="flip"):
        NoisyStepChecker(Steps(), stream(0), flip=1.5)
    with pytest.raises(SharpenError, match="cannot check steps"):
        NoisyStepChecker(object(), stream(0))  # type: ignore[arg-type]


def test_head_reward():
    assert head_process_reward([2.0, -1.5, 9.0], finished=True) == pytest.approx(-0.3)
    assert head_process_reward([50.0], finished=True) == 1.0
    assert head_process_reward([-50.0], finished=True) == -1.0
    assert head_process_reward([], finished=True) == -1.0
    with pytest.raises(NotFinite):
        head_process_reward([1.0, float("nan")], finished=True)


@given(st.booleans(), st.floats(-1, 1))
def test_compose(right, process):
    outcome = Verdict(float(right), parts={"correct": float(right)})
    both = compose(outcome, process)
    assert both.score == float(right) + process
    assert both.parts == {"correct": float(right), "process": process}
    assert -1 <= both.score <= 2
    assert both.correct == right  # a wrong response with score 1 stays wrong


def test_compose_keeps_status():
    crashed = compose(Verdict(0.0, Status.CRASH), 0.5)
    assert crashed.status is Status.CRASH
    assert crashed.score == 0.0
    assert not crashed.correct
    assert compose(Verdict(0.0, Status.TRUNCATED), -1.0).status is Status.TRUNCATED
    with pytest.raises(SharpenError):
        compose(Verdict(1.0), 1.5)


def test_outcome_and_process_are_one_verifier():
    checker = NoisyStepChecker(Steps(), stream(0), flip=0.0, sd=0.0)

    def exact(completion, answer):
        return float(completion == answer)

    both = WithProcess(from_function(exact), checker)
    verdict = judge(both, task=task(answer="vv"), episode=episode("vv"))
    assert (verdict.score, verdict.by) == (2.0, "exact+noisy_steps")
    assert judge(both, task=task(answer="vv"), episode=episode("vx")).score == -1.0

    class Broken:
        name, spec = "broken", {}

        def __call__(self, *, task, episode):
            return float("nan")

    with pytest.raises(NotFinite, match=r"'broken'.*'q'"):
        judge(WithProcess(from_function(exact), Broken()), task=task(), episode=episode("x"))


def test_step_labels():
    outcomes = [[True, False], [False, False], [None, True], [None, False], [None, None]]
    assert step_labels(outcomes) == [True, False, True, False, None]
