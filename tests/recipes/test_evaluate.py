"""Strategies side by side: shared samples, costs, stored and resumed like any run."""

from __future__ import annotations

import json
from shlex import split

import pyarrow.parquet as pq
import pytest

import sharpen
from sharpen.cli import main
from sharpen.cli.evaluating import listed
from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.config import change
from sharpen.runs.store import compare_exact, read_manifest, unit_files
from sharpen.sample.fake import FakeEngine
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy
from sharpen.strategies import STRATEGIES
from sharpen.strategies.ask import Final
from sharpen.studio.strategies import read_strategies, strategies_table
from sharpen.studio.strategies_figure import _side_by_side, figure, write_figure
from sharpen.tasks.registry import make
from tests.tiny import finished, settings

NAMES = ["greedy", "self_consistency:samples=4", "borda:samples=4"]


def rows(folder):
    return {r["strategy"]: r for r in read_manifest(folder).metrics}


def test_costs_are_charged_to_each_and_samples_shared():
    folder = finished("evaluate")
    found = rows(folder)
    assert list(found) == NAMES
    assert [r["calls"] for r in found.values()] == [1, 4, 4]
    assert found[NAMES[1]]["tokens"] == found[NAMES[2]]["tokens"] > 3 * found["greedy"]["tokens"]
    assert [r["shared"] for r in found.values()] == [0, 0, 1]
    assert 0 < found[NAMES[1]]["batch_fill"] <= 1
    assert found[NAMES[2]]["batch_fill"] is None
    assert found[NAMES[1]]["coverage"] == found[NAMES[2]]["coverage"]
    for r in found.values():
        assert r["accuracy_low"] <= r["accuracy"] <= r["accuracy_high"]
        assert (r["stopped_done"], r["errors"]) == (1, 0)


def test_sharing_changes_no_answer():
    shared, apart = finished("evaluate"), finished("evaluate", "share=false")
    told = {**rows(shared)[NAMES[2]], **dict.fromkeys(("shared", "batch_fill"))}
    assert told == {**rows(apart)[NAMES[2]], **dict.fromkeys(("shared", "batch_fill"))}
    assert rows(apart)[NAMES[2]]["shared"] == 0


def test_every_call_is_stored():
    folder = finished("evaluate")
    answers, calls = (
        pq.read_table(path) for path in unit_files(folder)["self_consistency samples=4/solve:0"]
    )
    assert calls.num_rows == 6 * 4
    assert sum(calls["n_sampled"].to_pylist()) == sum(n or 0 for n in answers["spent_tokens"].to_pylist())
    assert len(set(calls["request"].to_pylist())) == 6 * 4


@pytest.mark.parametrize("die", [1, 2])
def test_a_killed_evaluation_goes_on_to_the_same_bytes(tmp_path, die, monkeypatch):
    monkeypatch.setattr("sharpen.verbs.solving.UNIT_TASKS", 4)
    config = settings("evaluate")
    execute("evaluate", config, tmp_path / "whole")

    generate, left = NativeEngine.generate, [die]

    def dying(self, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return generate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(NativeEngine, "generate", dying)
        with pytest.raises(KeyboardInterrupt):
            execute("evaluate", config, tmp_path / "cut")
    execute("evaluate", config, tmp_path / "cut", resume=True)
    assert not compare_exact(tmp_path / "whole", tmp_path / "cut")


def test_a_strategy_added_later_answers_from_the_samples_that_there_are(tmp_path):
    config = settings("evaluate", "strategies=[self_consistency:samples=4]")
    execute("evaluate", config, tmp_path / "run")
    more = change(config, ["strategies=[self_consistency:samples=4, first:samples=4]"])
    execute("evaluate", more, tmp_path / "run", resume=True)
    assert rows(tmp_path / "run")["first:samples=4"]["shared"] == 1


def test_one_that_raises_and_a_dropped_request_are_recorded_and_the_rest_goes_on(tmp_path, monkeypatch):
    seen = []

    async def broken(ask, settings):
        seen.append(ask.question.id)
        if len(seen) == 2:
            raise ZeroDivisionError("a bug of its own")
        reply = await ask()
        return Final(reply.whole, "1")

    class Dropping(FakeEngine):
        exact = True

        def generate(self, policy, requests, **options):
            kept = [r for r in requests if "-0/" not in str(r.stream)]
            return super().generate(policy, kept, **options)

    monkeypatch.setattr("sharpen.strategies.selection.sample", broken)
    config = settings("evaluate", "strategies=[sample]")
    execute("evaluate", config, tmp_path / "run", engine=Dropping())
    row = rows(tmp_path / "run")["sample"]
    assert (row["stopped_dropped"], row["stopped_error"], row["stopped_done"]) == (1 / 6, 1 / 6, 4 / 6)
    assert row["errors"] == 2
    table = pq.read_table(unit_files(tmp_path / "run")["sample/solve:0"][0])
    assert "error: ZeroDivisionError: a bug of its own" in table["stop"].to_pylist()


def test_in_python(tmp_path):
    names = ["greedy", "first:samples=2"]
    lines = sharpen.evaluate(
        "nano", "countdown:level=1", names, out=tmp_path / "r", settings=("questions=4",)
    )
    assert [line.strategy for line in lines] == names
    assert (lines[0].gain, lines[0].questions) == (None, 4)
    assert lines[1].gain == lines[1].accuracy - lines[0].accuracy
    assert read_strategies([tmp_path / "r"]) == lines


def test_what_cannot_work_is_said_before_anything_is_written(tmp_path):
    for setting, told in [
        ("strategies=[]", "give at least one strategy"),
        ("'strategies=[greedy, greedy]'", "give each strategy once"),
        ("strategies=[gready]", "did you mean 'greedy'"),
        ("questions=100000 tasks=countdown:level=1", "were asked for"),
    ]:
        with pytest.raises(SharpenError, match=told):
            execute("evaluate", settings("evaluate", *split(setting)), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = ["eval", "nano", "--tasks", "countdown:level=1", "--tiny", "--plain", "--json"]
    assert main([*base, "--compare", "greedy,borda:samples=2,power=1.2", "-n", "3", "--out", "run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["strategy"] for s in told["strategies"]] == ["greedy", "borda:samples=2,power=1.2"]
    assert main(["show", "run"]) == 0
    shown = capsys.readouterr().out
    assert "borda:samples=2,power=1.2" in shown
    assert "against greedy" in shown
    assert main(["eval", "tasks=3", "--tasks", "countdown"]) == 2
    assert "name the model before settings" in capsys.readouterr().err
    assert main(["list", "strategies", "--json"]) == 0
    assert [s["strategy"] for s in json.loads(capsys.readouterr().out)] == list(STRATEGIES)


def test_lists_of_strategies():
    assert listed("a,b:x=1,y=2,c") == ["a", "b:x=1,y=2", "c"]
    assert listed("") == []


def test_the_figure_has_the_same_bytes_and_every_strategy(tmp_path, capsys):
    run = finished("evaluate")
    lines = read_strategies([run])
    data = figure(lines)
    assert data == figure(lines)
    assert data.startswith(b"<?xml")
    assert [line.best for line in lines].count(True) >= 1
    assert main(["eval", "nano", "--tasks", "countdown", "--tiny", "--figure", str(tmp_path / "x.png")]) == 2
    assert "only .svg is written" in capsys.readouterr().err
    write_figure(lines, tmp_path / "new" / "x.svg")
    assert (tmp_path / "new" / "x.svg").read_bytes() == data


def test_points_of_equal_cost_stand_side_by_side():
    places = _side_by_side([10.0, 100.0, 100.0, 101.0, 200.0])
    assert places[0] == 10
    assert places[2] == 100
    assert places == sorted(places)
    assert len(set(places)) == 5


SMALL = ("questions=2", "max_new_tokens=16", "pool=4", "words=english")


def test_what_strategies_learn_beforehand_is_a_step_of_its_own_and_charged_apart(tmp_path):
    names = ["few_shot:shots=2", "auto_cot:shots=2", "buffer_of_thoughts"]
    config = settings("evaluate", *SMALL, f"strategies={json.dumps(names)}")
    execute("evaluate", config, tmp_path / "run", engine=FakeEngine(lambda request: "so\nAnswer: 1+1"))
    found = rows(tmp_path / "run")
    assert [found[n]["calls_before"] for n in names] == [0, 2 * 4, 2 * 4]
    steps = [key for key in read_manifest(tmp_path / "run").steps if "beforehand" in key]
    assert steps == ["auto_cot shots=2/beforehand/solve:0", "buffer_of_thoughts/beforehand/solve:0"]
    # shown are questions of the training split, with their answers; never a question of the exam
    calls = pq.read_table(unit_files(tmp_path / "run")["few_shot shots=2/solve:0"][1])
    prompt = load_policy("nano").tokenizer.decode(calls["tokens"][0].as_py())
    train = make(config.tasks).take("train", 4)
    assert sum(str(t.prompt).strip() in prompt for t in train) == 2
    assert sum(f"Answer: {t.answer}" in prompt for t in train) == 2


def test_tools_of_the_source_reach_the_strategy(tmp_path):
    names = ["self_ask:hops=1", "react:steps=2"]
    config = settings("evaluate", *SMALL, "tasks=lookup", f"strategies={json.dumps(names)}")
    execute("evaluate", config, tmp_path / "lookup", engine=FakeEngine(lambda request: "Who is it?"))
    assert rows(tmp_path / "lookup")["self_ask:hops=1"]["tools"] > 0
    config = settings("evaluate", *SMALL, "tasks=keydoor", "strategies=['saycan:steps=2']")
    execute("evaluate", config, tmp_path / "keydoor")
    row = rows(tmp_path / "keydoor")["saycan:steps=2"]
    assert (row["calls"], row["errors"]) == (0, 0)
    assert row["evals"] > 0
    for setting, told in [
        ("words=english strategies=[saycan]", "countdown has none"),
        ("words=english strategies=[refiner]", "needs a second model: helper=MODEL"),
        (
            "words=nano-2 strategies=[plan_then_solve]",
            "needs the role 'planned', which the words 'nano-2' do not",
        ),
    ]:
        with pytest.raises(SharpenError, match=told):
            execute("evaluate", settings("evaluate", "tasks=countdown", *setting.split()), tmp_path / "none")
        assert not (tmp_path / "none").exists()


def test_a_narrow_terminal_leaves_columns_out_and_cuts_no_number():
    lines = read_strategies([finished("evaluate")])
    heads = {width: [c.header for c in strategies_table(lines, width).columns] for width in (60, 105, 200)}
    assert [str(h) for h in heads[60]][-2:] == ["calls", "tokens"]
    assert [str(h) for h in heads[200]][-4:] == ["seconds", "none", "any", "batch"]
    assert len(heads[60]) <= len(heads[105]) <= len(heads[200])
    # evals and tools were not used by any of them
    assert not {"evals", "tools"} & {str(h) for h in heads[200]}
