"""The reasoning-gym adapter: any dataset by name, repeatable, its scorers fenced."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.check import check_source
from sharpen.tasks.reasoning_gym import _PARSES, ReasoningGym, dataset_names, plain_expression
from sharpen.tasks.splits import SPLITS, split_of

QUICK = [
    "basic_arithmetic",
    "binary_matrix",
    "chain_sum",
    "gcd",
    "graph_color",
    "leg_counting",
    "letter_counting",
    "n_queens",
    "simple_equations",
    "spiral_matrix",
    "string_insertion",
    "word_sorting",
]


@pytest.mark.parametrize("name", QUICK)
def test_gold_passes_and_attacks_do_not(name):
    report = check_source(ReasoningGym(name), again=ReasoningGym(name), n=2)
    assert report.ok, str(report)
    assert report.items == 8


def test_items_follow_from_name_params_seed_and_index():
    one = ReasoningGym("leg_counting", seed=3, max_animals=4)
    other = ReasoningGym("leg_counting", seed=3, max_animals=4)
    late = other.take("test", 1, start=4) + other.take("dev", 1) + other.take("test", 5)
    assert late[0] == late[-1] == one.take("test", 5)[4]
    assert len({t.id for t in one.take("test", 5)}) == 5
    other_seed = ReasoningGym("leg_counting", seed=4, max_animals=4)
    other_params = ReasoningGym("leg_counting", seed=3)
    asked = [t.prompt for t in one.take("train", 20)]
    assert not set(asked) & {t.prompt for t in other_seed.take("train", 20)}
    assert asked != [t.prompt for t in other_params.take("train", 20)]
    assert len({str(s.spec) for s in (one, other_seed, other_params)}) == 3
    assert one.spec == other.spec


def test_splits_follow_the_canonical_question():
    source = ReasoningGym("gcd")
    for split in SPLITS:
        tasks = source.take(split, 5)
        assert {split_of(source.canonical(t)) for t in tasks} == {split}


def test_the_global_generator_is_neither_read_nor_moved():
    random.seed(1)
    before = random.getstate()
    prompts = [t.prompt for t in ReasoningGym("letter_counting").take("dev", 3)]
    assert random.getstate() == before
    random.seed(2)
    assert [t.prompt for t in ReasoningGym("letter_counting").take("dev", 3)] == prompts


@pytest.mark.parametrize("name", ["list_functions", "pool_matrix"])
def test_a_dataset_that_draws_from_the_global_generators_is_fenced(name):
    random.seed(1)
    np.random.seed(1)
    state, np_state = random.getstate(), np.random.get_state()[1].tobytes()
    tasks = ReasoningGym(name).take("dev", 3)
    assert random.getstate() == state
    assert np.random.get_state()[1].tobytes() == np_state
    random.seed(2)
    again = ReasoningGym(name)
    assert again.take("dev", 3) == tasks
    assert all(again.verify(t, t.answer).correct for t in tasks)


def test_a_dataset_that_walks_through_sets_gives_the_same_items_under_any_hash_seed():
    code = """if 1:
        import json
        from sharpen.tasks.reasoning_gym import ReasoningGym
        print(json.dumps([[t.prompt, t.answer] for t in ReasoningGym("ransom_note").take("dev", 3)]))"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(found) == 1
    assert len(json.loads(found.pop())) == 3


def test_answers_in_every_form():
    source = ReasoningGym("leg_counting")
    task = source.take("dev", 1)[0]
    gold = task.answer
    for text in (gold, f" {gold}\n", f"I count.\n<answer> {gold} </answer> Done.", f"so\nAnswer: {gold}\n"):
        assert source.verify(task, text).correct, text
    assert source.canonical_answer(task, f"<answer> {gold}\n</answer>") == gold
    for text in (
        "",
        f"<answer>{gold}",
        f"<answer>{gold}</answer><answer>",
        f"Answer: {gold}\nAnswer: 1",
        "x" * 30_000,
    ):
        checked = source.verify(task, text)
        assert (checked.correct, checked.status) == (False, "unparsable"), text[:40]
    assert not source.verify(task, f"maybe {gold}").correct


def test_an_exception_of_the_scorer_is_the_answers_doing():
    source = ReasoningGym("prime_factorization")
    task = source.take("dev", 1)[0]
    checked = source.verify(task, "two times three")
    assert (checked.correct, checked.status) == (False, "unparsable")
    assert "ValueError" in checked.detail


def test_partial_credit_is_not_correct():
    source = ReasoningGym("spiral_matrix")
    task = source.take("dev", 1)[0]
    as_list = str([int(x) for x in task.answer.split()])
    assert not source.verify(task, as_list).correct


@pytest.mark.parametrize("name", ["string_insertion", "spiral_matrix", "binary_matrix", "n_queens", *_PARSES])
def test_no_scorer_runs_code_from_an_answer(name):
    source = ReasoningGym(name)
    task = source.take("train", 1)[0]
    flag = f"ran_{name}"
    for code in (
        f"__import__('sys').modules.__setitem__('{flag}', 1)",
        f"[__import__('sys').modules.__setitem__('{flag}', 1)]",
        f"exec(\"import sys; sys.modules['{flag}']=1\")",
    ):
        assert not source.verify(task, code).correct
        assert flag not in sys.modules


def test_expressions_that_reach_the_parser():
    arithmetic, algebra = _PARSES["countdown"], _PARSES["simple_integration"]
    for text in ("1+2*(3-4)/5", "(8 / 2) * 3"):
        assert plain_expression(text, arithmetic)
    for text in ("-2*x**3/3 + C", "exp(2*x)*sin(x) + C", "6*x**2*(y + 1)**3", "3*log(x) - 0.5*x"):
        assert plain_expression(text, algebra)
    towers = ("9**9**9", "9**(9**9)", "9**99999", "(9**999)**999", "((9**99)**99)**99", "(9 ** 99) ** -99")
    for text in (*towers, "x.func", "S('x')", "print(1)", "__name__", "lambda: 1", "1;2", "٣+٤", "1" * 501):
        assert not plain_expression(text, algebra), text
    for text in ("2**3", "x", "3//2", "1e9"):
        assert not plain_expression(text, arithmetic), text
    # tried in every way that the digits can be cut, these would not come back
    for text in ("1" * 400 + "y77", "1*" + "9" * 400 + "_", "1.1" * 150 + "?"):
        assert not plain_expression(text, algebra)
        assert not plain_expression(text, arithmetic)


def test_problems_are_one_clear_line():
    with pytest.raises(
        SharpenError, match="unknown reasoning_gym dataset 'leg_countin': did you mean 'leg_counting'"
    ):
        ReasoningGym("leg_countin")
    with pytest.raises(
        SharpenError, match="unknown parameter of reasoning_gym:leg_counting 'min_animal': did you mean"
    ):
        ReasoningGym("leg_counting", min_animal=2)
    with pytest.raises(SharpenError, match="codeio runs programs of its data set"):
        ReasoningGym("codeio")
    with pytest.raises(SharpenError, match="unknown parameter"):
        ReasoningGym("leg_counting", size=10)
    with pytest.raises(SharpenError, match="reasoning_gym:leg_counting: min_animals must be positive"):
        ReasoningGym("leg_counting", min_animals=-2)
    few = ReasoningGym("leg_counting", min_animals=1, max_animals=1, min_instances=2, max_instances=3)
    with pytest.raises(
        SharpenError, match=r"split 'dev' has \d+ distinct items, 1000 were asked for .*repeated"
    ):
        few.take("dev", 1000)


def test_gold_that_its_scorer_refuses_is_passed_over():
    # the library sometimes fails to integrate and hands out the unsolved integral as gold
    source = ReasoningGym("intermediate_integration")
    assert not any("Integral" in t.answer for t in source.take("train", 6))
    assert source.passed_over["with a gold answer that its scorer refuses"] > 0


def test_the_library_has_many():
    assert len(dataset_names()) > 90


def test_a_dataset_without_good_gold_gives_up_soon():
    source = ReasoningGym("boxnet")
    with pytest.raises(
        SharpenError, match=r"0 distinct items.*50 with a gold answer that its scorer refuses"
    ):
        source.take("train", 1)
