"""The corrector's recipe: what it learns from, and what it measures."""

from tests.recipes.test_recipes import finished, settings
from tests.tiny import rounds, steps, stored


def test_only_the_corrector_learns_and_its_corrections_are_counted():
    folder = finished("self_corrector")
    generators = {
        line["inputs"]["policy"] for key, line in steps(folder, "sample").items() if "held" not in key
    }
    solved = steps(folder, "solve")
    assert {line["inputs"]["policy"] for line in solved.values()} == generators
    assert len(generators) == 1
    learnt = [line["result"]["version"] for line in steps(folder, "learn").values()]
    assert [line["inputs"]["helper"] for line in solved.values()] == learnt
    told = rounds(folder, "corrected")
    assert len(told) == settings("self_corrector").rounds
    for row in told:
        changed = row["wrong_to_right"] - row["right_to_wrong"]
        assert round(12 * (row["accuracy_after"] - row["accuracy_before"])) == changed
    # the generator's greedy answers are those of the exam
    before = {row["accuracy_before"] for row in told}
    assert before == {rounds(folder, "held_out")[0]["accuracy_greedy"]}
    assert stored(folder, next(iter(steps(folder, "sample"))))
