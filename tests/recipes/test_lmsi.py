"""LMSI: majority answers are learnt, in four forms, and no label is used."""

import json

import pytest

from sharpen.recipes.execute import execute
from sharpen.recipes.lmsi import mixed
from sharpen.score.answers import has_answer
from sharpen.select.above import above
from sharpen.select.agreed import agreed
from sharpen.strategies.words import NANO_2, Words
from sharpen.tasks.chain import Chain
from sharpen.tasks.task import GoldIsHidden
from tests.recipes.test_recipes import settings
from tests.scored import group, table, verdict
from tests.tiny import steps


def test_other_labels_give_the_same_training(tmp_path):
    tasks = Chain(level=1).take("train", 24) + Chain(level=1).take("test", 24)
    learnt = []
    for i, gold in enumerate((lambda t: t.answer, lambda t: "nonsense")):
        path = tmp_path / f"{i}" / "questions.jsonl"
        path.parent.mkdir()
        rows = [{"prompt": t.prompt, "answer": gold(t)} for t in tasks]
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        changes = [f"tasks=jsonl:{path}", "pool=12", "queries=12", "rounds=1", "held_out=2", "samples=4"]
        execute("lmsi", settings("lmsi", *changes), tmp_path / f"run{i}")
        learnt.append(steps(tmp_path / f"run{i}", "learn")["round-0001/learn:0"])
    assert learnt[0]["inputs"]["rows"] == learnt[1]["inputs"]["rows"]
    assert learnt[0]["result"]["digest"] == learnt[1]["result"]["digest"]
    assert learnt[0]["result"]["rows"] > 0


def chosen(**by_question: str):
    held = [
        group(name, [(f"step\nAnswer: {a}", verdict(0.0)) for a in answers])
        for name, answers in by_question.items()
    ]
    return above(agreed(table(*held), lambda t: t.rpartition(" ")[2]), 0.0)


def test_four_forms_a_question():
    selection = chosen(a="77", b="88", c="123")
    assert [i.task.id for i in selection] == ["a", "b"]  # of equal texts one; the tie is skipped
    found = mixed(selection, NANO_2, 1, has_answer)
    forms = {(i.task.prompt, i.text) for i in found}
    chain = "step\nAnswer: 7"
    assert {f for f in forms if f[1].endswith("7")} == {
        ("question a\n", chain),
        ("question b\nstep\nAnswer: 8\nquestion a\n", chain),
        ("direct question a\n", "Answer: 7"),
        ("question b\nAnswer: 8\nquestion a\n", "Answer: 7"),
    }
    assert len(found) == 8
    assert found.ledger["kept"] == 8
    # chains keep their sampled tokens, bare answers are written
    assert sum(i.gold for i in found) == 4
    for item in found:
        if item.gold:
            with pytest.raises(GoldIsHidden):
                _ = item.task.answer


def test_forms_need_words_and_examples():
    selection = chosen(a="77")
    alone = mixed(selection, NANO_2, 1, has_answer)
    assert [i.task.prompt for i in alone] == ["question a\n", "direct question a\n"]
    silent = mixed(chosen(a="77", b="88"), Words("silent", {}), 1, has_answer)
    assert len(silent) == 2
    none = mixed(chosen(a="12"), NANO_2, 1, has_answer)
    assert len(none) == 0
