"""A run that is being fooled says so, and a healthy one is left in peace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sharpen.measure.report import rollout_metrics
from sharpen.measure.warnings import Limits, Watch, watch, watch_ratios
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status
from sharpen.select.above import above
from tests.scored import episode, group, scored, table, task, verdict

HEALTHY = table(scored("a", [1.0, 0.0]), scored("b", [1.0, 1.0]))


def names(rows, limits=None):
    return [w.name for w in watch(rows, limits)]


def row(groups, **more):
    return {**rollout_metrics(groups, above(groups, 0.0)), **more}


def test_a_healthy_round_is_quiet():
    assert names([row(HEALTHY, accuracy_greedy=0.4)] * 5) == []
    assert names([]) == []
    assert names([{}]) == []


@pytest.mark.parametrize(
    ("scores", "word", "expected"),
    [
        ([[0.0, 0.0]], "easier", ["all_groups_dead", "nothing_selected"]),
        ([[1.0, 1.0]], "harder", ["all_groups_dead"]),
        ([[1.0, 1.0], [0.0, 0.0]], "other", ["all_groups_dead"]),
    ],
)
def test_dead_groups(scores, word, expected):
    rows = [row(table(*(scored(f"q{i}", s) for i, s in enumerate(scores))))]
    assert names(rows) == expected
    assert word in watch(rows)[0].text


def test_verifier_failures():
    broken = table(
        group("a", [("x", verdict(0.0, status=Status.TIMEOUT)), ("y", verdict(1.0)), ("z", verdict(0.0))])
    )
    assert names([row(broken)]) == ["verifier_errors", "unknown"]
    assert "33.3%" in watch([row(broken)])[0].text
    assert names([row(broken)], Limits(verifier_errors=0.5, unknown=0.5)) == []
    abstained = table(
        group("a", [("x", verdict(0.0, status=Status.ABSTAIN)), ("y", verdict(1.0)), ("z", verdict(0.0))])
    )
    assert names([row(abstained)]) == ["unknown"]


def test_truncation():
    ends = [Finish.LENGTH, Finish.EOS, Finish.EOS]
    cut = Group(
        task(),
        tuple(episode(str(k), sample=k, finish=f) for k, f in enumerate(ends)),
        (verdict(0.0), verdict(1.0), verdict(0.0)),
    )
    assert names([row(Groups([cut]))]) == ["truncated"]
    assert names([row(Groups([cut]))], Limits(truncated=0.4)) == []


def test_reward_up_while_held_out_is_down():
    def rounds(rewards, accuracies):
        return [{"reward_mean": r, "accuracy_greedy": a} for r, a in zip(rewards, accuracies, strict=True)]

    fooled = rounds([0.1, 0.2, 0.3], [0.5, 0.4, 0.3])
    assert names(fooled) == ["reward_up_held_out_down"]
    assert "50.0% to 30.0%" in watch(fooled)[0].text
    assert names(fooled[1:]) == []  # too short to tell
    assert names(rounds([0.1, 0.2, 0.2], [0.5, 0.4, 0.3])) == []
    assert names(rounds([0.1, 0.2, 0.3], [0.5, 0.4, 0.4])) == []
    assert names(rounds([0.1, None, 0.3], [0.5, 0.4, 0.3])) == []
    assert names(rounds([0.1, 0.2], [0.5, 0.4]), Limits(rounds=1)) == ["reward_up_held_out_down"]


def test_limits_refuse_unknown_keys_and_bad_values():
    with pytest.raises(ValidationError):
        Limits(truncate=0.1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Limits(truncated=1.5)


def test_the_watch_follows_a_run():
    follow = Watch()
    assert follow.held_out({"accuracy_greedy": 0.9}) == []  # the base model
    for reward, accuracy in ((0.1, 0.5), (0.2, 0.4)):
        assert follow.training({**row(HEALTHY), "reward_mean": reward}) == []
        assert follow.held_out({"accuracy_greedy": accuracy}) == []
        assert follow.held_out({"accuracy_greedy": 0.99}) == []  # a second evaluation in the round
    assert follow.training({**row(HEALTHY), "reward_mean": 0.3}) == []
    [warning] = follow.held_out({"accuracy_greedy": 0.3})
    assert "please the verifier" in warning
    assert len(follow.training(row(table(scored("a", [0.0]))))) == 2
    assert follow.held_out({"accuracy_greedy": 0.2}) == []  # given once already


LEVELS = st.one_of(st.none(), st.sampled_from([0.001, 0.1, 0.3, 0.5, 1.0, 40.0]))
ROUNDS = st.lists(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("length", "entropy", "reward_mean", "accuracy_greedy"), LEVELS)
    ),
    max_size=12,
)


@given(rows=ROUNDS, n=st.integers(1, 3))
def test_the_watch_forgets_nothing_that_counts(rows, n):
    follow = Watch(Limits(rounds=n))
    for i, told in enumerate(rows):
        now = {k: v for k, v in told.items() if k != "accuracy_greedy"}
        found = follow.training(now)
        assert found == [w.text for w in watch([*rows[:i], now], Limits(rounds=n))]
        if "accuracy_greedy" in told:
            found += follow.held_out(told)
        assert found == [w.text for w in watch(rows[: i + 1], Limits(rounds=n))]


def test_lengths_and_entropy_that_collapse_are_told():
    first = {"length": 40.0, "entropy": 0.5}
    assert names([first, {"length": 8.1, "entropy": 0.011}]) == []
    assert names([first, {"length": 7.9, "entropy": 0.009}]) == ["length_collapse", "entropy_collapse"]
    assert "7.9 tokens long, and were 40 in the first round" in watch([first, {"length": 7.9}])[0].text
    # a round that does not know it is not judged; what counts is the first that knew
    assert names([{}, first, {"entropy": None}, {"length": 7.9}]) == ["length_collapse"]
    assert names([first, {"length": 7.9}], Limits(length=0.1)) == []


def test_ratios_that_have_left_the_sampler_are_told():
    assert watch_ratios({}) == watch_ratios({"ess": 0.5}) == []
    (told,) = watch_ratios({"ess": 0.49})
    assert told.name == "ratios"
    assert "49.0%" in told.text
    assert watch_ratios({"ess": 0.49}, Limits(ess=0.4)) == []
