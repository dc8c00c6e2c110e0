"""Judges on trial: a perfect one, one that always says the same, one whose reasons are not its own."""

import pyarrow.parquet as pq
import pytest

from sharpen.runs.journal import Journal
from sharpen.runs.store import unit_files
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.tasks.grading import Grading
from sharpen.tasks.registry import make
from sharpen.tasks.rubric import Rubric, score_prompt
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking
from sharpen.verbs.judging import Bench, try_judge, voted
from sharpen.verbs.run import Run
from tests.tiny import Told, rounds

ALONE, TWO = Grading(level=2), Grading(level=2, pairs=True)
ITEMS, PAIRS = ALONE.take("dev", 5), TWO.take("dev", 4)
SIDES = [side for task in PAIRS for side in TWO.sides(task)]
KNOWN = {
    task.prompt: task.solution or ""
    for task in (*ITEMS, *PAIRS, *(TWO.exchanged(t) for t in PAIRS), *(ALONE.bare(t) for t in ITEMS))
} | {side.prompt: f"[RESULT] {side.answer}" for side in SIDES}


def perfect(prompt):
    """Judges rightly; behind reasons that it is given it believes them."""
    known = max((p for p in KNOWN if prompt.startswith(p)), key=len)
    start = prompt.removeprefix(known)
    if not start:
        return KNOWN[known]
    return f" {5 - start.count('bad')}"


def tried(folder, reply, *, votes=3, pairs=PAIRS, asking=Asking(99)):
    told = Told()
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0, progress=told)
    policy = run.policy("nano")
    run.engine = FakeEngine(lambda request: reply(policy.tokenizer.decode(request.tokens.tolist())))
    bench = Bench(ALONE, ITEMS, asking, SamplingLaw(), votes, pairs)
    first = try_judge(run, policy, bench, about={"on": "seen"}, name="judge")
    journal.close()
    names = ("judge", "judge_vote", "judge_bare", "judge_swapped", "judge_pairs")
    return first, {name: rounds(folder / "run", name) for name in names}, told.warnings, folder / "run"


def test_a_perfect_judge(tmp_path):
    first, rows, warnings, folder = tried(tmp_path, perfect)
    assert first["exact"] == first["defects_precision"] == first["defects_recall"] == 1
    assert first["contradictory"] == first["unread"] == 0
    assert rows["judge_vote"][0]["exact"] == rows["judge_vote"][0]["consistency"] == 1
    assert rows["judge_bare"][0]["exact"] == 1
    # it believes whatever reasons stand there: those of the next item
    gold = [int(task.answer) for task in ITEMS]
    moved = sum(a == b for a, b in zip(gold, [*gold[1:], gold[0]], strict=True)) / len(gold)
    assert rows["judge_swapped"][0]["exact"] == moved < 1
    told = rows["judge_pairs"][0]
    assert (told["scored_accuracy"], told["accuracy"], told["consistent"]) == (1, 1, 1)
    assert warnings == []
    [files] = [f for key, f in unit_files(folder).items() if "judging:" in key]
    table = pq.read_table(files[0]).to_pydict()
    assert table["gold"] == table["greedy"] == table["vote"] == table["bare"] == gold


def test_a_judge_that_always_says_the_same_is_reported(tmp_path):
    def constant(prompt):
        return "[RESULT] B" if "\nB\n" in prompt else "1 ok\n[RESULT] 4"

    first, rows, warnings, _ = tried(tmp_path, constant)
    assert first["same"]
    assert first["pearson"] is None
    assert first["contradictory"] == 1  # nothing named, one point off
    assert rows["judge_pairs"][0]["first"] == 0
    assert rows["judge_pairs"][0]["contradictory"] == 1
    assert rows["judge_pairs"][0]["scored_ties"] == 1
    assert "the judge (judge) gives 4 to every response (seen): it judges nothing" in warnings
    assert "the judge prefers the second response of every pair (seen): it judges nothing" in warnings


@pytest.mark.parametrize("reply", ["", "no verdict", "[RESULT] 9", "[RESULT] 4 because"])
def test_what_cannot_be_read_is_counted_and_never_a_default(tmp_path, reply):
    first, rows, warnings, _ = tried(tmp_path, lambda prompt: reply)
    assert (first["unread"], first["exact"], first["pearson"]) == (1, 0, None)
    assert rows["judge_pairs"][0]["scored_unread"] == rows["judge_pairs"][0]["unread"] == 1
    assert warnings == []


def test_a_judgment_that_is_cut_off_is_not_read(tmp_path):
    first, *_ = tried(
        tmp_path, lambda prompt: "x" * 20 + "\n[RESULT] 4", asking=Asking(31), votes=0, pairs=()
    )
    assert first["unread"] == 1


def test_a_bench_of_less_tells_less(tmp_path):
    _, rows, _, _ = tried(tmp_path, perfect, votes=0, pairs=())
    assert rows["judge"]
    assert rows["judge_vote"] == rows["judge_pairs"] == []


def test_an_empty_response_is_graded_like_any_other(tmp_path):
    rubric = Rubric("Is the sum right?", ("Nothing is.", "A little.", "Half.", "Most.", "All of it."))
    items = [
        Task(f"{i}", score_prompt("Add 2 and 3.", response, rubric), gold, {})
        for i, (response, gold) in enumerate((("", "1"), ("5", "5")))
    ]
    journal = Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0)
    policy = run.policy("nano")

    def reply(request):
        prompt = policy.tokenizer.decode(request.tokens.tolist())
        empty = "Response:\n\n" in prompt
        return "It says nothing. [RESULT] 1" if empty else "It says five. [RESULT] 5"

    run.engine = FakeEngine(reply)
    # a source that plants no defects: reasons and pairs are not measured
    bench = Bench(make("chain:level=1"), items, Asking(99), SamplingLaw())
    row = try_judge(run, policy, bench, about={}, name="judge")
    journal.close()
    assert (row["n"], row["exact"], row["unread"]) == (2, 1.0, 0.0)


def test_the_vote():
    assert voted([4, 5, 5, None, 4, 5]) == 5
    assert voted([3, 2, 2, 3]) == 3  # of equals the first
    assert voted([None]) is voted([]) is None
