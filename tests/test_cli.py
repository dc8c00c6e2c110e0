"""The command, in-process: exit codes, one line for what is wrong, and what the verbs print."""

import json
import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from sharpen import recipes
from sharpen.cli import main, reading, running, threads
from sharpen.score.code import CodeVerifier
from sharpen.tasks.registry import make

spec = util.spec_from_file_location("fake_recipe", Path(__file__).parent / "fake_recipe.py")
fake_recipe = util.module_from_spec(spec)
spec.loader.exec_module(fake_recipe)


@pytest.fixture(autouse=True)
def _fake(monkeypatch, tmp_path):
    """The fake recipe, in an empty folder, with this process's thread count left alone."""
    before = dict(recipes.RECIPES), running._execute
    fake_recipe.install()
    monkeypatch.chdir(tmp_path)
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    yield
    recipes.RECIPES.clear()
    recipes.RECIPES.update(before[0])
    running._execute = before[1]
    sys.modules.pop("sharpen.recipes.fake")


def wrong(capsys, *argv) -> str:
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sharpen: ")
    assert err.count("\n") == 1
    return err


def refused(capsys, *argv) -> list[str]:
    assert main(list(argv)) == 2
    return capsys.readouterr().err.splitlines()


def said(capsys, *argv, code=0) -> str:
    assert main(list(argv)) == code
    out = capsys.readouterr().out
    assert "\x1b" not in out
    return out


def test_bad_input_is_one_line_that_names_the_nearest(capsys):
    assert "did you mean 'run'?" in wrong(capsys, "rnu")
    assert "did you mean 'fake'?" in wrong(capsys, "run", "fakke")
    assert "did you mean 'b_star'?" in wrong(capsys, "run", "bstar")
    assert "unknown key 'rouns': did you mean 'rounds'?" in wrong(capsys, "run", "fake", "rouns=3")
    assert "an integer >= 1 is needed" in wrong(capsys, "run", "fake", "rounds=x")
    assert "did you mean '--seed'?" in wrong(capsys, "run", "fake", "--sed", "3")
    assert "--seed" in wrong(capsys, "run", "fake", "--seed", "x")
    assert "RECIPE" in wrong(capsys, "run")
    assert "did you mean 'tasks'?" in wrong(capsys, "list", "taks")
    assert "no runs" in wrong(capsys, "show", "gone")
    assert "two or more runs" in wrong(capsys, "compare")
    assert "nothing.toml" in wrong(capsys, "run", "fake", "--config", "nothing.toml")
    assert not Path("runs").exists()


def test_help_of_everything(capsys):
    assert "resume" in said(capsys, "--help")
    assert "resume" in said(capsys)
    for verb in ("run", "resume", "fork", "show", "list", "compare", "calibrate", "explain"):
        assert f"usage: sharpen {verb}" in said(capsys, verb, "--help")
    text = said(capsys, "run", "fake", "--help")
    assert "--seeds" in text
    assert "rounds = 2  (an integer >= 1)" in text
    assert "How many rounds." in text
    rows = json.loads(said(capsys, "explain", "fake", "--json"))
    assert rows[0] == {"key": "rounds", "type": "an integer >= 1", "default": "2", "doc": "How many rounds."}


def test_run_prints_progress_the_gain_and_the_next_command(capsys):
    out = said(capsys, "run", "fake", "--seed", "3", "rounds=3")
    assert "round-0003/held_out/measure:0: 40 done" in out
    assert "round 3 held_out: greedy" in out
    assert "next     sharpen show runs/fake-1" in out
    line = next(x for x in out.splitlines() if x.startswith("held out"))
    assert line.split()[2] == "greedy"
    assert line.count("%") == 2
    assert "to" in line  # the interval of the change
    assert "runs/fake-2" in said(capsys, "run", "fake")


def test_options_and_settings_in_any_order(capsys):
    plan = json.loads(said(capsys, "run", "--dry-run", "fake", "rounds=9", "--json", "questions=7"))
    assert plan["config"]["rounds"] == 9
    assert plan["config"]["questions"] == 7


def test_json_keeps_stdout_for_the_result(capsys):
    assert main(["run", "fake", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["summary"] == {"samples": 6, "tokens": 54}
    gain = told["gains"][0]
    assert gain["measure"] == "accuracy_greedy"
    assert gain["low"] <= gain["change"] <= gain["high"]
    assert gain["change"] == pytest.approx(gain["final"] - gain["base"])
    assert "held_out" in err


def test_dry_run_writes_nothing_and_derives_numbers(capsys):
    out = said(capsys, "run", "fake", "--dry-run", "--tiny", "rounds=5")
    assert "1,280 at most" in out
    assert "questions  4" in out
    assert not Path("runs").exists()
    plan = json.loads(said(capsys, "run", "fake", "--dry-run", "--json", "--seeds", "2"))
    assert plan["plan"]["tokens"] == 5120
    assert plan["seeds"] == [0, 1]


def test_code_of_a_model_is_run_unfenced_only_where_told(capsys):
    from sharpen.verbs.asking import Reward
    from sharpen.verbs.scoring import named

    plans = [
        json.loads(capsys.readouterr().out)["config"]["unsafe_local_exec"]
        for flag in ([], ["--unsafe-local-exec"])
        if main(["run", "online_rft", "--dry-run", "--json", *flag]) == 0
    ]
    assert plans == [False, True]
    verifier = named(Reward("code", unsafe=True), make("order:level=1"), 0)
    assert isinstance(verifier, CodeVerifier)
    assert verifier.unsafe


def test_interrupted_tells_how_to_go_on_and_resume_does(capsys):
    assert main(["run", "fake", "interrupt=true"]) == 130
    assert capsys.readouterr().err.endswith("continue with: sharpen resume runs/fake-1\n")
    assert main(["run", "fake", "--out", "whole", "interrupt=true", "rounds=1"]) == 130
    capsys.readouterr()
    out = said(capsys, "resume", "runs/fake-1", "rounds=3")
    assert "round-0001/" not in out  # answered from disk
    assert "round-0003/held_out/measure:0" in out
    assert "rounds = 3" in Path("runs/fake-1/config.toml").read_text()
    assert "there is a run in whole already" in wrong(capsys, "run", "fake", "--out", "whole")
    assert main(["resume", "whole"]) == 0


def test_a_continued_run_keeps_its_number_of_threads(capsys, monkeypatch):
    main(["run", "fake", "--threads", "3"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    capsys.readouterr()
    said(capsys, "resume", "fake-1", "rounds=3")
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "numerics.threads was 3, now 2" in " ".join(refused(capsys, "resume", "fake-1", "--threads", "2"))


def test_a_changed_setting_is_refused_by_the_step_it_touches(capsys):
    main(["run", "fake"])
    capsys.readouterr()
    assert main(["resume", "fake-1", "questions=9"]) == 2
    err = capsys.readouterr().err
    assert "held_out/measure:0 is finished and questions was 40, now 9" in err


def test_a_crash_shows_where_and_how_to_go_on(capsys):
    assert main(["run", "fake", "fail_seed=0"]) == 1
    err = capsys.readouterr().err
    assert "ValueError: the fake was told to fail" in err
    assert err.endswith("sharpen: failed; continue with: sharpen resume runs/fake-1\n")


def test_show_leaves_out_the_middle_of_a_long_run(capsys, monkeypatch):
    said(capsys, "run", "fake")
    every = said(capsys, "show", "fake-1", "--steps")
    assert every == said(capsys, "show", "fake-1")
    monkeypatch.setattr(reading, "MOST_STEPS", 4)
    assert said(capsys, "show", "fake-1", "--steps") == every
    short = said(capsys, "show", "fake-1")
    keys, left = (
        [word for line in text.splitlines() for word in line.split()[:1] if "/" in word or word == "..."]
        for text in (every, short)
    )
    assert left == [*keys[:2], "...", *keys[-2:]]
    assert f"{len(keys) - 4} steps more: --steps" in short


def test_show_lists_steps_and_a_steps_rollouts(capsys):
    main(["run", "fake"])
    out = said(capsys, "show", "fake-1")
    assert "round-0002/sample:0" in out
    assert "3 samples" in out
    out = said(capsys, "show", "fake-1", "round-0001/sample:0", "-n", "2")
    assert out.count("/0  9 tokens") == 2
    assert "wrong" in out
    assert "right" in out
    # the model's text cannot obey or hide: markup stays text, controls are spelt out
    assert "[red]3 * 8[/red]\\x1b[2J\\x1b]0;owned\\x07" in out
    assert "\\u202eAnswer: 24\\x0d" in out
    told = json.loads(said(capsys, "show", "fake-1", "round-0001/sample:0", "--json"))
    assert [r["correct"] for r in told["rollouts"]] == [False, True, True]
    assert told["rollouts"][0]["text"] == fake_recipe.HOSTILE
    assert "did you mean 'round-0001/sample:0'?" in wrong(capsys, "show", "fake-1", "round-0001/sampel:0")
    assert "did you mean 'runs/fake-1'?" in wrong(capsys, "show", "fake1")
    run = json.loads(said(capsys, "show", "fake-1", "--json"))
    assert run["header"]["recipe"] == "fake"
    assert next(s["step"] for s in run["steps"]) == "held_out/measure:0"


def test_list(capsys):
    main(["run", "fake"])
    out = said(capsys, "list")
    assert "countdown" in out
    assert "b_star" in out
    assert "fake-1" in out
    runs = json.loads(said(capsys, "list", "runs", "--json"))
    assert runs == [
        {"run": "fake-1", "recipe": "fake", "seed": 0, "state": "after round-0002/held_out/measure:0"}
    ]


def test_compare_pairs_questions(capsys):
    main(["run", "fake"])
    main(["run", "fake", "rounds=4"])
    out = said(capsys, "compare", "fake-1", "fake-2")
    assert "runs/fake-2" in out
    assert "fake-2 - fake-1" in out
    told = json.loads(said(capsys, "compare", "fake-1", "fake-2", "--json"))
    pair = told["pairs"][0]
    assert pair["items"] == 40
    assert pair["low"] <= pair["change"] <= pair["high"]
    final = [told["runs"][f"runs/fake-{n}"]["accuracy_greedy"] for n in (1, 2)]
    assert pair["change"] == pytest.approx(final[1] - final[0])


def test_compare_exact_exits_with_1_where_bytes_differ(capsys):
    for seed in ("0", "0", "1"):
        main(["run", "fake", "--seed", seed])
    capsys.readouterr()
    assert "equal byte for byte" in said(capsys, "compare", "--exact", "fake-1", "fake-2")
    out = said(capsys, "compare", "--exact", "fake-1", "fake-3", code=1)
    assert "header.seed is 0 and 1" in out
    assert json.loads(said(capsys, "compare", "--exact", "fake-1", "fake-2", "--json"))["equal"] is True


def test_fork_shares_what_came_before(capsys):
    main(["run", "fake"])
    capsys.readouterr()
    out = said(capsys, "fork", "fake-1", "--at", "round-0002/sample:0", "rounds=3")
    assert "round-0001/" not in out
    assert "round-0003/held_out/measure:0" in out
    assert json.loads(said(capsys, "show", "fake-2", "--json"))["header"]["parent"]["run"] == "fake-1"
    assert "unknown step" in wrong(capsys, "fork", "fake-1", "--at", "round-9/sample:0")


def heavy(commands: list[list[str]]) -> str:
    """Which of torch and transformers a fresh process has imported after these commands."""
    code = (
        "import sys\nfrom sharpen.cli import main\n"
        f"for argv in {commands!r}:\n    main(argv)\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()[-1]


def test_help_and_errors_import_nothing_heavy():
    commands = [
        ["--help"],
        ["run", "--help"],
        ["rnu"],
        ["run", "fakke"],
        ["list", "recipes"],
        ["list", "runs"],
    ]
    assert heavy(commands) == "[]"


def test_a_recipes_settings_need_nothing_heavy():
    commands = [["run", "b_star", "--dry-run"], ["run", "star", "rouns=1"], ["run", "rft", "--help"]]
    assert heavy(commands) == "[]"


def test_thread_counts(monkeypatch):
    assert 1 <= threads.cores() <= (os.cpu_count() or 1)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "1")
    assert threads.limit(None) == 1  # what was set outside stays
    assert threads.limit(3) == 3
    assert os.environ["MKL_NUM_THREADS"] == "3"
