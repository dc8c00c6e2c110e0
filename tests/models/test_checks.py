"""The corpus of redundant checks: every text is right, lengths differ, and some questions need a check."""

import numpy as np

from sharpen.models.checks import MISREAD, MOST_CHECKS, TASKS, Checks, misread, needs_check, values, written
from sharpen.tasks.registry import make


def solved(n=300, copies=1):
    source, corpus = make(TASKS), Checks()
    rng = np.random.default_rng(0)
    tasks = source.take("base", n)
    return source, [(t, [corpus.solution(t, rng) for _ in range(copies)]) for t in tasks]


def test_every_text_is_right_whatever_its_first_pass():
    source, texts = solved()
    for task, (text,) in texts:
        assert source.verify(task, text).correct
        assert 0 <= text.count("wait") <= MOST_CHECKS


def test_a_check_is_needed_on_a_tenth_to_a_seventh_of_the_questions():
    _, texts = solved()
    needed = [(t, text) for t, (text,) in texts if needs_check(t)]
    assert 0.1 <= len(needed) / len(texts) <= 0.15
    for task, text in needed:
        wrong, first = misread(task), int(task.prompt.split()[1])
        assert any(op in MISREAD for op in task.data["ops"])
        assert values(wrong, first)[-1] != int(task.answer)
        assert "wait" in text
        lines = text.split("wait")[0].removeprefix("<think>\n")
        assert lines in [written(wrong, first, terse=terse) for terse in (True, False)]


def test_lengths_of_one_question_differ_by_more_than_two():
    _, texts = solved(20, copies=40)
    for _, copies in texts:
        lengths = [len(text) for text in copies]
        assert max(lengths) > 2 * min(lengths)


def test_a_sample_is_a_function_of_its_draws():
    one, other = (Checks().sample(np.random.default_rng(5)) for _ in range(2))
    assert one == other
    assert one.completion.endswith("<|end|>")
