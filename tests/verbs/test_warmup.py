"""The warm-up that gives a small model a choice between thinking and answering."""

import re

import numpy as np
import pytest

from sharpen.learn.config import LearnConfig
from sharpen.models.corpus import Corpus, _direct, _think
from sharpen.runs.journal import Journal
from sharpen.sample.policy import load_policy
from sharpen.score.modes import Device
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Asking
from sharpen.verbs.run import Run
from sharpen.verbs.warmup import CHOICE, Warmup, warm, written

DEVICE = Device()


def test_worked_solutions_are_written_as_the_base_knows_them():
    corpus, rng = Corpus.__new__(Corpus), np.random.default_rng(0)  # these two skills draw nothing from it
    for task in make("chain:level=1").take("base", 5):
        for skill, thinks in ((_think, True), (_direct, False)):
            _, said = skill(corpus, "chain", task, "", task.solution, rng)
            assert DEVICE.opening + written(task, DEVICE, thinks=thinks) == said
            assert DEVICE.thinks(said) is thinks
    paper = Device("<think>\n...\n", "</think>\n\n")
    lines = (task.solution or "").count("\n")  # the last of them is the answer
    first = task.solution.partition("\n")[0]
    assert written(task, DEVICE, thinks=True, plan=True).startswith(f"{lines}\n{first}\n")
    assert written(task, DEVICE, thinks=True, scratch="4 7").startswith(f"4 7\n{first}\n")
    both = written(task, DEVICE, thinks=True, plan=True, scratch="4 7")
    assert both.startswith(f"{lines}\n4 7\n{first}\n")
    plain = written(task, DEVICE, thinks=False)
    assert written(task, DEVICE, thinks=False, plan=True, scratch="4 7") == plain
    assert written(task, paper, thinks=False) == f"</think>\n\nAnswer: {task.answer}"


@pytest.fixture(scope="module")
def policy():
    return load_policy("nano")


def learnt(policy, folder, warmup):
    """The rows of a warm-up, without learning them."""
    journal = Journal.create(folder, {"recipe": "test", "seed": 0}, "")
    run, seen = Run(journal, seed=0), []
    run.learn = lambda state, rows, learning: seen.append((rows, learning))
    asking = Asking(64, prefill=DEVICE.opening, template="chat")
    trained = lambda steps, rows: LearnConfig(steps=steps, batch_rows=rows)  # noqa: E731
    warm(run, run.learner(policy), warmup, "chain:level=1", DEVICE, asking, trained)
    journal.close()
    [(rows, learning)] = seen
    assert learning.steps == warmup.steps
    return rows


def replies(policy, rows):
    whole = [str(policy.tokenizer.decode(row.tokens.tolist())) for row in rows]
    return [text.partition("<|assistant|>")[2] for text in whole]


def test_the_coin_knows_nothing_of_the_question(tmp_path, policy):
    def texts(share):
        warmup = Warmup(think=share, examples=400, questions=16, steps=1)
        return replies(policy, learnt(policy, tmp_path / str(share), warmup))

    half = [DEVICE.thinks(text) for text in texts(0.5)]
    assert 0.42 < np.mean(half) < 0.58
    assert len({tuple(half[i::16]) for i in range(16)}) == 16  # each question has coins of its own
    assert not any(DEVICE.thinks(text) for text in texts(0))
    assert all(DEVICE.thinks(text) for text in texts(1))


def test_scratch_is_drawn_anew_for_every_thought_and_changes_no_coin(tmp_path, policy):
    plain, scratched = (
        replies(
            policy, learnt(policy, tmp_path / str(n), Warmup(examples=60, questions=4, steps=1, scratch=n))
        )
        for n in (0, 3)
    )
    assert not any(re.search("[0-9] [0-9] [0-9]\n", text) for text in plain)
    lines = [DEVICE.reply(text).split("\n")[1] for text in scratched if DEVICE.thinks(text)]
    assert all(re.fullmatch("[0-9] [0-9] [0-9]", line) for line in lines)
    assert len(set(lines)) > 20
    share = np.mean([DEVICE.thinks(text) for text in scratched])
    assert 0.3 < share < 0.7


def test_all_texts_weigh_the_same_and_their_first_token_a_tenth(tmp_path, policy):
    for row in learnt(policy, tmp_path / "run", Warmup(examples=40, questions=4, steps=1)):
        weight = row.arrays["weight"]
        assert weight[np.flatnonzero(weight)[0]] == pytest.approx(CHOICE)
        assert weight.sum() == pytest.approx(1)
