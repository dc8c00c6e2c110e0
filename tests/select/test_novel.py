"""Self-Instruct's filters: what counts as a new prompt."""

import pytest

from sharpen.select.novel import Novelty, grams, novel, rouge_l


@pytest.mark.parametrize(
    ("a", "b", "f"),
    [
        ("a b c d", "a b c e", 0.75),
        ("a b c d", "a b x y", 0.5),
        ("a b c d e f g h i j", "a b c d e f g x y z", 0.7),
        ("a b c", "c b a", 1 / 3),
        ("a b", "a b", 1.0),
        ("a b c", "a", 0.5),
        ("", "a", 0.0),
    ],
)
def test_rouge_l(a, b, f):
    assert rouge_l(a.split(), b.split()) == pytest.approx(f)
    assert rouge_l(b.split(), a.split()) == pytest.approx(f)


def kept(candidates, seeds=(), held_out=(), **rule):
    return novel(candidates, seeds, held_out, Novelty(**rule))


def test_what_is_too_like_a_seed_goes_and_exactly_the_limit_stays():
    seeds = ["a b c d", "k l m n o p q r s t"]
    found, ledger = kept(["a b c e", "a b x y", "k l m n o p q 1 2 3", "k l m n o p q r 2 3"], seeds)
    assert found == [1, 2]
    assert ledger == {
        "candidates": 4, "length": 0, "held_out": 0, "known": 0, "alike": 2, "kept": 2
    }  # fmt: skip


def test_accepted_prompts_count_as_seeds():
    assert kept(["a b c d", "a b c e", "a b c d"])[0] == [0]
    found, ledger = kept(["a b c d", "a b c e", "a b c d"], likeness=1.0)
    assert found == [0, 1]
    assert ledger["known"] == 1


def test_lengths():
    long = [" ".join(f"w{i}" for i in range(n)) for n in (3, 4, 150, 151)]
    found, ledger = kept(long, likeness=1.0)
    assert (found, ledger["length"]) == ([1, 2], 2)


def test_test_questions_go_whole_or_in_part():
    held_out = ["what is the sum of one and two and three", "make 3 from 1 2"]
    candidates = ["make 3 from 1 2", "so what is the sum of one and two", "what is the sum of one and four"]
    found, ledger = kept(candidates, held_out=held_out)
    assert (found, ledger["held_out"]) == ([2], 2)
    assert grams(["a", "b", "c"], 8) == {("a", "b", "c")}
    assert grams(["a", "b", "c"], 2) == {("a", "b"), ("b", "c")}
