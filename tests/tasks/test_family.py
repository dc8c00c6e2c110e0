"""The own families: pure items, checkers that cannot be fooled or broken, steps that are judged."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.tasks.cases import RANKS, Cases
from sharpen.tasks.chain import Chain
from sharpen.tasks.countdown import Countdown
from sharpen.tasks.expression import Node, parse
from sharpen.tasks.facts import SEEN, UNKNOWN, Facts, statement
from sharpen.tasks.family import ANSWER, Family, final_answer, same_equations
from sharpen.tasks.order import Order
from sharpen.tasks.splits import split_of
from sharpen.tasks.task import GoldIsHidden, Message, hidden, hint

FAMILIES = (Cases, Chain, Countdown, Facts, Order)
EVERY = [pytest.param(f, level, id=f"{f.name}-{level}") for f in FAMILIES for level in f.levels]


@pytest.mark.parametrize(("family", "level"), EVERY)
def test_gold_passes_and_its_steps_are_valid(family: type[Family], level: int) -> None:
    source = family(level=level)
    for task in source.take("test", 40):
        assert source.verify(task, task.solution).correct
        assert all(source.steps(task, task.solution))
        assert source.canonical_answer(task, task.solution) is not None
        assert not source.verify(task, "").correct
        assert source.verify(task, "").status == "unparsable"


def test_a_chain_can_be_of_some_operations_and_of_all_it_is_what_it_was() -> None:
    sums = Chain(level=2, operations="+-")
    ops = {op[0] for task in sums.take("test", 50) for op in task.data["ops"]}
    assert ops == {"+", "-"}
    assert sums.spec["operations"] == "+-"
    assert (
        Chain(operations="+-*").spec == Chain().spec
    )  # draws depend on it: shipped bases were made of these
    assert "operations" not in Chain().spec
    falls = Chain(
        operations="-", min_ops=3, max_ops=3
    )  # from 9 down; where nothing is left, another is drawn
    assert all(falls.verify(task, task.solution).correct for task in falls.take("test", 5))
    for bad in ("", "+/", "++"):
        with pytest.raises(SharpenError, match=r"operations=.* should be some of '\+-\*', each once"):
            Chain(operations=bad)


@pytest.mark.parametrize(("family", "level"), EVERY)
def test_items_are_pure_and_distinct(family: type[Family], level: int) -> None:
    a, b = family(level=level), family(level=level)
    late = b.take("train", 10, start=20)  # asked for out of order
    early = a.take("train", 30)
    assert early[20:] == late
    forms = [a.canonical(t) for t in early]
    assert len(set(forms)) == len(forms)
    assert {split_of(f) for f in forms} == {"train"}
    assert family(level=level, seed=1).take("train", 30) != early


def test_a_small_split_says_how_many_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.tasks.family._PATIENCE", 500)
    with pytest.raises(
        SharpenError, match=r"countdown: split 'dev' has \d+ distinct items, 5000 were asked for"
    ):
        Countdown(level=1).take("dev", 5000)


def test_unknown_parameters_name_the_nearest() -> None:
    with pytest.raises(SharpenError, match="max_number"):
        Countdown(max_nmber=3)
    with pytest.raises(SharpenError, match="levels"):
        Chain(level=9)
    with pytest.raises(SharpenError, match="type int"):
        Chain(max_ops="many")


@given(st.text(max_size=300))
def test_checkers_never_raise(text: str) -> None:
    for family in FAMILIES:
        source = _SOURCES[family.name]
        task = source.take("test", 1)[0]
        for completion in (text, ANSWER + text, "1+1=2\n" + ANSWER + text):
            source.verify(task, completion)
            assert len(source.steps(task, completion)) == len(completion.split(ANSWER)[0].splitlines())
            source.canonical_answer(task, completion)


_SOURCES = {f.name: f() for f in FAMILIES}


def test_one_answer_counts_and_it_is_the_last_line() -> None:
    assert final_answer("1+1=2\nAnswer: 2") == "2"
    assert final_answer("Answer: 2\nAnswer: 3") is None  # a spray of answers
    assert final_answer("Answer: 2\nmore") is None
    assert final_answer("So Answer: 2") is None
    assert final_answer("Answer: ") is None
    assert final_answer("2") is None
    assert not Chain().has_answer("2")
    assert Chain().has_answer("1+1=2\nAnswer: 2")


def test_steps_catch_the_first_error_and_go_on_from_what_is_written() -> None:
    source = Chain(level=1)
    task = next(t for t in source.take("test", 50) if len(t.data["ops"]) == 4)
    lines = task.solution.splitlines()
    head, _, value = lines[1].rpartition("=")
    wrong = [lines[0], f"{head}={int(value) + 1}", *lines[2:]]
    valid = source.steps(task, "\n".join(wrong))
    assert valid[:3] == [True, False, False]  # the third step starts from a value the text no longer has


def test_countdown_judges_the_answer_not_the_derivation() -> None:
    source = Countdown()
    task = source.take("test", 1)[0]
    answer = task.solution.splitlines()[-1]
    assert source.verify(task, "1+1=3\n" + answer).correct
    assert source.steps(task, "1+1=3\n" + answer) == [False]
    numbers = "+".join(map(str, task.data["numbers"]))
    assert source.verify(task, f"Answer: {numbers}+0*{task.data['target']}").correct is False
    assert source.verify(task, f"Answer: {task.data['target']}").correct is False


def test_order_steps_follow_from_the_clues_alone() -> None:
    source = Order(level=1)
    task = source.take("test", 1)[0]
    order = task.answer
    assert source.steps(task, f"{order[0]}\n{order[:2]}\n{ANSWER}{order}") == [True, True]
    assert source.steps(task, f"{order[1]}\n{ANSWER}{order}") == [False]


def test_cases_are_compared_and_added_up_in_any_order() -> None:
    source = Cases(level=2)
    for task in source.take("test", 40):
        own, stake, held = (task.data[k] for k in ("own", "stake", "held"))
        assert task.prompt == f"Cases {own} {stake}: {' '.join(held)}\n"
        assert len({own, *held}) == 4
        won = [RANKS.index(own) > RANKS.index(card) for card in held]
        lines = [f"{card} {'+' if w else '-'}{stake}" for card, w in zip(held, won, strict=True)]
        assert task.solution == "\n".join([*lines, f"{ANSWER}{stake * (2 * sum(won) - 3)}"])
        assert (task.prompt + task.solution).replace("\n", "").isprintable()
        back = "\n".join([*reversed(lines), f"{ANSWER}+1"])
        assert source.steps(task, back) == [True] * 3
        assert not source.verify(task, back).correct
        # a case twice, a case of another sign, a card that is no case
        other = lines[0].translate(str.maketrans("+-", "-+"))
        assert source.steps(task, "\n".join([lines[1], lines[1], other, f"{own} +{stake}"])) == [
            True, False, False, False,
        ]  # fmt: skip
        turned = replace(task, data={**task.data, "held": held[::-1]})
        assert source.canonical(turned) == source.canonical(task)
        worth = stake * (2 * sum(won) - 3)
        assert source.verify(task, f"{ANSWER}{worth:+d}").correct
        assert source.canonical_answer(task, f"{ANSWER}{worth:+d}") == task.answer
    for bad in (0, 13):
        with pytest.raises(SharpenError, match=f"cases={bad} should be 1 to 12"):
            Cases(cases=bad)


def numbers() -> st.SearchStrategy[Node]:
    leaf = st.integers(0, 50).map(lambda v: Node(value=v))
    return st.recursive(leaf, lambda c: st.builds(Node, st.sampled_from("+-*/"), c, c), max_leaves=6)


@given(numbers())
def test_expressions_survive_text(node: Node) -> None:
    again = parse(node.text())
    assert again is not None
    assert again.fraction() == node.fraction()
    assert sorted(again.leaves()) == sorted(node.leaves())
    if node.left is not None and node.op in "+*":
        assert Node(node.op, node.right, node.left).canonical() == node.canonical()


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1+", "(1", "1)", "2**9", "9**9**9", "١+١", "1//2", "1 2", "a", "1+" * 100 + "1", "((" * 60],
)
def test_what_is_no_expression(text: str) -> None:
    assert parse(text) is None


def test_division_is_exact() -> None:
    node = parse("7/(1-1/8)")
    assert node is not None
    assert node.fraction() == Fraction(8)
    zero = parse("1/(2-2)")
    assert zero is not None
    assert zero.fraction() is None


def test_equal_reasoning_has_one_name() -> None:
    task = Countdown().take("test", 1)[0]
    assert same_equations(task, "1 + 2=3\nAnswer: 1+2") == same_equations(task, "1+2=3\nAnswer: 2+1")
    assert same_equations(task, "2+1=3\nAnswer: 1+2") != same_equations(task, "1+2=3\nAnswer: 1+2")


def test_hints() -> None:
    assert hint("Make 3 from 1 2\n", "1+2", "{prompt} hint {answer}\n") == "Make 3 from 1 2 hint 1+2\n"
    chat = (Message(role="user", content="{answer}?"),)
    assert hint(chat, "yes", "{prompt} ({answer})") == (Message(role="user", content="{answer}? (yes)"),)
    with pytest.raises(SharpenError, match="needs both"):
        hint("a", "b", "{prompt}")


def test_hidden_gold_cannot_be_read() -> None:
    task = hidden(Countdown().take("test", 1))[0]
    assert task.prompt
    for name in ("answer", "solution", "data"):
        with pytest.raises(GoldIsHidden, match=task.id):
            getattr(task, name)


def test_facts_are_one_table_and_what_is_never_told_cannot_be_known() -> None:
    source = Facts(level=2)
    tasks = source.take("test", 200) + source.take("train", 400)
    seen = [t.data["seen"] for t in tasks]
    for name, share in SEEN.items():
        assert abs(seen.count(name) / len(seen) - share / 100) < 0.06
    for task in tasks[:60]:
        key = task.data["key"]
        if task.data["seen"] == "never":
            assert task.answer == UNKNOWN
            assert source.verify(task, UNKNOWN).correct
            assert source.verify(task, f"{ANSWER}{UNKNOWN}").correct
            assert not source.verify(task, f"{key}=37\n{ANSWER}37").correct
            assert not source.verify(task, f"{ANSWER}37\n{UNKNOWN}").correct
        else:
            assert statement(task) == f"{key}={task.answer}"
            assert source.verify(task, f"{ANSWER}{task.answer}").correct
            assert not source.verify(task, UNKNOWN).correct
            assert source.verify(task, UNKNOWN).status == "ok"
    # the same key has the same value whoever draws it
    again = {t.data["key"]: t.answer for t in Facts(level=3).take("test", 300)}
    assert all(again.get(t.data["key"], t.answer) == t.answer for t in tasks)
    assert Facts(level=2, seed=1).take("test", 5) != tasks[:5]


def test_questions_are_read_in_the_family_s_form():
    game, chain = Countdown(level=2), Chain(level=2)
    for source in (game, chain):
        for task in source.take("train", 20):
            again = source.read(str(task.prompt), "again")
            assert again is not None
            assert again.prompt == task.prompt
            assert source.canonical(again) == source.canonical(task)
            assert source.verify(again, str(task.solution)).correct
    for text in ("Make 3 from 1 2", "Make 0 from 1 2 3", "Make 9 from 1 2 16", "Make 9 from 3 2 1 x", ""):
        assert game.read(text, "t") is None, text
    read = game.read("Make 9 from 3 2 1", "t")
    assert read is not None
    assert read.prompt == "Make 9 from 1 2 3\n"
    for text in ("Compute 7 +5", "Compute 7 -8 +5 +5 +5", "Compute 0 +1 +1 +1 +1", "Compute 9 *9 *9 +1 +1"):
        assert chain.read(text, "t") is None, text
