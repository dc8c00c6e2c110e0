"""AutoThink's flags and rewards: the numeric oracles and the checklist of arXiv 2505.10832."""

import numpy as np
import pytest

from sharpen.learn.advantages import dead, zscore
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.modes import (
    Batch,
    Device,
    ModeReward,
    answered,
    balance,
    batch,
    length_terms,
    loops,
    mode_rewards,
    naive,
    with_rewards,
)
from sharpen.score.verdict import Status
from tests.scored import episode, task, verdict

NANO = Device()
PAPER = Device("<think>\n...\n", "</think>\n\n")
STAGE_1, STAGE_3 = ModeReward(gamma=0.5), ModeReward(alpha=0.05, beta=0.05)
THINK, DIRECT = "<think>\n1+1=2\n</think>Answer: ", "<think>\n\n</think>Answer: "


def made(thinks, right, lengths=None, group=None, answered=None, loops=None):
    """A batch of known verdicts."""
    n = len(thinks)
    flags = [np.array(f, dtype=bool) for f in (thinks, right, answered or [True] * n, loops or [False] * n)]
    return Batch(np.array(group or [0] * n), *flags, np.ones(n, bool), np.array(lengths or [1.0] * n, float))


FOUR = ([True, True, False, False], [True, False, True, False])
"""Thinking right, thinking wrong, direct right, direct wrong."""


def diluted(share, n=100):
    """The four kinds first, then attempts that bring the batch's think rate to ``share``."""
    rest = [i < round(share * n) - 2 for i in range(n - 4)]
    return made(FOUR[0] + rest, FOUR[1] + [True] * (n - 4), group=list(range(n)))


def table(*texts, answer="2", finish=Finish.EOS, right=None, statuses=None):
    """A scored group of texts, each right where it ends with the answer."""
    episodes = tuple(
        episode(t, sample=i, finish=finish if isinstance(finish, Finish) else finish[i])
        for i, t in enumerate(texts)
    )
    marks = right or [t.endswith(f"Answer: {answer}") for t in texts]
    kinds = statuses or [Status.OK] * len(texts)
    said = tuple(verdict(m * (not k.unknown), status=k) for m, k in zip(marks, kinds, strict=True))
    return Group(task(answer=answer), episodes, said)


# the mode flag ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("device", "text", "thinks"),
    [
        (NANO, "<think>\n\n</think>Answer: 2", False),
        (NANO, "<think>\n \n</think>Answer: 2", True),  # leading white space
        (NANO, "<think>\n1\n</think>Answer: 2", True),
        (NANO, "<think>\n</think>Answer: 2", True),  # not to the letter
        (NANO, "<think>\n", True),  # nothing at all
        (PAPER, "<think>\n...\n</think>\n\nSo \\boxed{2}", False),
        (PAPER, "<think>\n...\n</think>\nSo \\boxed{2}", True),
        (PAPER, "<think>\n...\n </think>\n\nSo \\boxed{2}", True),
        (PAPER, "<think>\n...\nx</think>\n\nSo \\boxed{2}", True),
        (PAPER, "<think>\n...\nWell <think>\n...\n</think>\n\n2", True),  # only the first opening counts
    ],
)
def test_only_the_closing_to_the_letter_is_no_thinking(device, text, thinks):
    assert device.thinks(text) is thinks


def test_an_answer_stands_behind_the_first_close():
    assert answered("<think>\na</think>Answer: 2")
    assert answered("<think>\na</think>so \\boxed{2}")
    assert not answered("<think>\nAnswer: 2")
    assert not answered("<think>\n\\boxed{2}</think>")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b " * 10, True),
        ("a b " * 9, False),
        ("x " + "a b c " * 10 + "y", True),
        (" ".join(str(i) for i in range(30)) + " ", False),
        ((" ".join(str(i) for i in range(30)) + " ") * 10, True),
        ((" ".join(str(i) for i in range(31)) + " ") * 10, False),  # longer than 30 words
        ("a b a c " * 3, False),
        ("y" * 119, False),
        ("y" * 120, True),
        ("", False),
    ],
)
def test_a_loop_is_a_run_of_words_said_ten_times_back_to_back_or_a_huge_word(text, found):
    assert loops(text) is found


# the naive reward ------------------------------------------------------------------------------------
def test_the_naive_reward():
    assert naive(made(*FOUR)).tolist() == [1, 0, 2, -1]


def test_the_loop_guard_fires_only_below_zero():
    looped = made(*FOUR, loops=[True] * 4)
    assert naive(looped).tolist() == [1, 0, 2, -2]
    unanswered = made([False], [False], answered=[False], loops=[True])
    assert naive(unanswered).tolist() == [0]
    assert naive(unanswered, strict_format=True).tolist() == [-2]


def test_no_thinking_and_no_answer_is_0_or_with_strict_format_minus_1():
    b = batch(Groups([table("<think>\n\n</think>2", "<think>\n\n</think>Answer: 3")]), NANO)
    assert naive(b).tolist() == [0, -1]
    assert naive(b, strict_format=True).tolist() == [-1, -1]


def test_cut_or_empty_attempts_are_wrong_thoughts():
    texts = (THINK + "2", "<think>\n", DIRECT + "2")
    b = batch(Groups([table(*texts, finish=(Finish.LENGTH, Finish.EOS, Finish.LENGTH))]), NANO)
    assert b.right.tolist() == [False, False, False]
    assert b.thinks.tolist() == [True, True, False]
    assert naive(b).tolist() == [0, 0, -1]
    assert b.lengths.tolist() == [3, 3, 3]


def test_a_right_answer_in_an_unclosed_thought_is_wrong():
    b = batch(Groups([table("<think>\nAnswer: 2", right=[True])]), NANO)
    assert naive(b).tolist() == [0]


# stage 1 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("share", "rewards"),
    [(0.8, (0.4, -0.6, 2, -1)), (0.1, (1, 0, 1.2, -1.8)), (0.5, (1, 0, 2, -1))],
)
def test_balance_oracles_over_the_whole_batch(share, rewards):
    b = diluted(share)
    assert b.thinks.mean() == share
    found = mode_rewards(b, STAGE_1)
    assert found.rewards[:4] == pytest.approx(rewards)
    off = (found.off_thinking, found.off_direct)
    assert off == pytest.approx((max(0, 2 * (share - 0.5)), max(0, 2 * (0.5 - share))))


def test_a_mode_alone_is_worth_one_less():
    alone = mode_rewards(made([True, True], [True, False]), STAGE_1)
    assert alone.rewards.tolist() == [0, -1]
    alone = mode_rewards(made([False, False], [True, False]), STAGE_1)
    assert alone.rewards.tolist() == [1, -2]
    worst = made([False, False], [True, False], loops=[False, True])
    assert mode_rewards(worst, STAGE_1).rewards.tolist() == [1, -2]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.99])
def test_the_rarer_mode_keeps_its_rewards_and_gamma_1_or_slope_0_is_off(share):
    b = diluted(share)
    rarer = b.thinks == (share < 0.5)
    assert np.array_equal(mode_rewards(b, STAGE_1).rewards[rarer], naive(b)[rarer])
    for off in (ModeReward(), ModeReward(gamma=0.5, slope=0)):
        assert np.array_equal(mode_rewards(b, off).rewards, naive(b))


def test_an_empty_batch_has_nothing_to_balance():
    assert balance(np.zeros(0, bool), gamma=0.5, slope=2) == (0, 0)


# stage 3 ---------------------------------------------------------------------------------------------
def test_length_oracle_of_right_attempts():
    for thinks, base in ((True, 0), (False, 1)):
        b = made([thinks] * 3, [True] * 3, [100, 200, 300])
        expected = [base + x for x in (1.051271, 1.0, 0.951229)]
        assert mode_rewards(b, STAGE_3).rewards == pytest.approx(expected, abs=5e-7)


def test_length_oracle_of_wrong_attempts_pays_the_longer_one_a_little():
    for thinks, base in ((True, 0), (False, -1)):
        b = made([thinks] * 2, [False] * 2, [400, 600])
        found = mode_rewards(b, STAGE_3).rewards
        assert found == pytest.approx([base - 0.035988, base + 0.034738], abs=5e-7)
        assert np.abs(found - base).max() < 0.05
        assert not dead(found)


def test_one_alone_or_equal_lengths_are_not_shaped():
    assert length_terms([7, 9, 9], [True, False, False], alpha=0.5, beta=0.5).tolist() == [0, 0, 0]


def test_both_modes_are_one_set_and_questions_are_apart():
    b = made([True, False], [True, True], [10, 30])
    assert mode_rewards(b, STAGE_3).rewards[0] > 1
    apart = made([True, False], [True, True], [10, 30], group=[0, 1])
    assert mode_rewards(apart, STAGE_3).rewards.tolist() == [1, 2]


# as verdicts -----------------------------------------------------------------------------------------
def test_advantage_oracle():
    expected = (1.2076, 1.2076, 0.2415, -0.7246, -1.6907, -0.7246, 0.2415, 0.2415)
    assert zscore((2, 2, 1, 0, -1, 0, 1, 1)) == pytest.approx(expected, abs=5e-5)
    assert zscore([2.0] * 8).tolist() == [0] * 8


def test_rewards_become_scores_and_what_is_right_stays_apart():
    groups = Groups([table(THINK + "2", DIRECT + "2", THINK + "3", DIRECT + "3")])
    b = batch(groups, NANO)
    found = with_rewards(groups, mode_rewards(b, ModeReward()).rewards, b)
    assert found.scores[0].tolist() == [1, 2, 0, -1]
    assert found.correct[0].tolist() == [True, True, False, False]
    assert [v.parts["thinks"] for v in found.columns[0].judged] == [1, 0, 1, 0]


def test_without_gold_nothing_is_paid_and_nothing_learnt():
    statuses = [Status.BAD_GOLD, Status.OK, Status.OK]
    groups = Groups([table(THINK + "2", THINK + "2", THINK + "2", statuses=statuses)])
    b = batch(groups, NANO)
    found = with_rewards(groups, mode_rewards(b, STAGE_3).rewards, b)
    first = found.columns[0].judged[0]
    assert (first.score, first.status, first.correct) == (0, Status.BAD_GOLD, False)
    assert np.isnan(found.scores[0][0])
    assert found.scores[0][1:].tolist() == [1, 1]
