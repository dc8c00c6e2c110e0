"""What the experiment on Self-PRM makes of samples and judgments."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))

import judging
from certainty import Samples, chosen, table_of

from sharpen.models import works
from sharpen.tasks.registry import make


def samples(names, right, judged, tokens=10.0, judge=20.0):
    n = len(names)
    signals = {name: np.zeros(n) for name in ("certainty", "logprob")}
    signals |= {"judged": np.array(judged, float), "shuffled": np.array(judged[::-1], float)}
    signals |= {"tokens": np.full(n, tokens), "judge_tokens": np.full(n, judge)}
    return Samples(names, np.array(right, float), signals, float(right[0]))


def test_rules_choose_by_what_was_judged():
    # oracle 3 of the specification: the majority is 5, the accepted vote 7
    s = samples(["5", "7", "7", "5", "5", "9"], [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 0])
    told = chosen(s, np.arange(6), 6, judging.RULES)
    assert told["majority"] == 0
    assert told["Self-PRM, vote of the accepted"] == 1
    assert told["Self-PRM (step score)"] == 1
    assert told["Self-PRM, first accepted"] == 1
    assert told["Self-PRM, judgments shuffled"] == 0
    assert told["any right"] == 1


def test_nothing_accepted_is_the_majority_and_all_accepted_too():
    for judged in ([0, 0, 0], [1, 1, 1]):
        told = chosen(samples(["5", "7", "7"], [0, 1, 1], judged), np.arange(3), 3, judging.RULES)
        assert told["Self-PRM (step score)"] == told["majority"] == 1


def test_a_table_is_over_questions_in_order():
    found = {t: samples(["1"] * 16, [r] * 16, [1] * 16) for t, r in (("b", 1), ("a", 0))}
    table = table_of(found, 4, judging.RULES, 16)
    assert all(values.tolist() == [0.0, 1.0] for values in table.values())


def test_equal_tokens_counts_what_judging_costs():
    runs = [{"q": samples(["1"] * 16, [1] * 16, [1] * 16)}]
    assert judging.equal_tokens(runs, 4) == 12
    assert judging.equal_tokens(runs, 8) == judging.SAMPLES


def test_acceptance_by_the_judge_and_by_solving_again():
    found = [{"q": samples(["5", "5", "7", None], [1, 1, 0, 0], [1, 0, 1, 0])}]
    told = judging.believed(found)
    assert told["judge"]["all"] == {"n": 4, "accepted": 2, "correct": 2, "precision": 0.5, "recall": 0.5}
    # of the three others most answer 5, whichever sample is asked about; its own answer does not count
    assert told["solving again"]["all"]["precision"] == 1.0
    assert told["solving again"]["all"]["recall"] == 1.0


@pytest.mark.parametrize("seed", [0, 1])
def test_made_solutions_are_right_or_wrong_half_and_half(seed):
    tasks = make(judging.TASKS).take("dev", 60)
    labels = [works.first_wrong(t, lines) for t, lines in judging.injected(tasks, seed)]
    assert 15 < labels.count(-1) < 45
