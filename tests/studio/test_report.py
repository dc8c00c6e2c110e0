"""The report: what is in it, that it is one small file, and that no text of a model is more than text."""

import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from sharpen.cli import main
from sharpen.studio.chosen import _some_rounds, chosen
from sharpen.studio.episodes import Sampled
from sharpen.studio.page import SCRIPTS, asset, embedded, standalone
from sharpen.studio.report import name_of, report, write_report
from sharpen.verbs.seeds import write_plan
from tests.studio.big import big_run
from tests.studio.hostile import WORDS, hostile_run
from tests.tiny import finished


def held(text: str) -> dict:
    """The data of a page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """The folder of two seeds, each a real run (the same one twice)."""
    folder = tmp_path_factory.mktemp("report") / "two"
    write_plan(folder, "b_star", [0, 1], "")
    for seed in (0, 1):
        (folder / f"seed-{seed}").symlink_to(finished("b_star"))
    return folder


def test_the_command_writes_one_file_that_loads_nothing(seeds, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(seeds), "--out", "deep/page.html"]) == 0
    assert "deep/page.html" in capsys.readouterr().out
    text = (tmp_path / "deep" / "page.html").read_text()
    assert len(text) < 5_000_000
    assert "default-src 'none'" in text
    # nothing is fetched: no source, no import, no link to another place
    shell = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)", shell)
    assert "@import" not in asset("app.css")
    assert "url(" not in asset("app.css")


def test_every_script_is_allowed_by_its_hash_and_no_other(seeds):
    import base64
    import hashlib

    text = standalone("t", {"kind": "report"})
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == len(SCRIPTS)
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    allowed = set(re.findall(r"'sha256-([^']*)'", policy))
    assert {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts} == allowed
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "innerHTML" not in "".join(asset(s) for s in SCRIPTS if "/" not in s)


def test_it_holds_what_a_run_came_to(seeds):
    data = report([seeds], 40)
    [group] = data["groups"]
    assert group["runs"] == ["two/seed-0", "two/seed-1"]
    assert {g["measure"] for g in group["gains"]} == {"accuracy_greedy", "accuracy_t1"}
    for gain in group["gains"]:
        assert gain["low"] <= gain["change"] <= gain["high"]
    assert [len(p["points"]) for p in group["pooled"]] == [3, 3]
    run = data["runs"][0]
    assert run["state"] == "finished"
    assert run["cost"]["samples"] > 0
    assert sum(line["sample"] for line in run["ledger"]) > 0
    sections = {c["section"] for c in run["charts"]}
    assert {"accuracy", "exploration", "balance", "training", "learning"} <= sections
    assert run["searches"][0]["temperature"] in {cell[0] for cell in run["searches"][0]["cells"]}
    assert run["settings"]["model"] == "nano"


def test_rollouts_come_in_whole_groups_and_say_how_many_there_are(seeds):
    found = chosen(seeds / "seed-0", 40)
    assert found["shown"] == len(found["rows"]) <= 40 < found["of"]
    assert chosen(seeds / "seed-0", 40) == found
    groups = {}
    for row in found["rows"]:
        groups.setdefault((row["step"], row["task"]), []).append(row["sample"])
        sampled = [s for s in row["spans"] if "pieces" in s]
        assert all(len(s["pieces"]) == len(s["lp"]) == len(s["en"]) == len(s["ce"]) for s in sampled)
        text = "".join(p for s in sampled for p in s["pieces"])
        assert text.removesuffix("<|end|>") == row["text"]
    whole = [g for (step, _), g in groups.items() if "greedy" not in found["steps"][step]["name"]]
    assert sum(sorted(g) == [0, 1, 2, 3] for g in whole) >= len(whole) - 1  # the last group may be cut
    assert any(row["spans"][0]["text"].startswith("Make ") for row in found["rows"])
    assert chosen(seeds / "seed-0", 0)["rows"] == []


def test_rollouts_fit_a_budget_of_tokens(tmp_path):
    big = big_run(tmp_path / "big", 4000, steps=2)
    found = chosen(big, 400, tokens=1000)
    assert 0 < sum(row["n"] for row in found["rows"]) <= 1000
    assert found["of"] == 4000


def test_games_are_shown_move_by_move():
    found = chosen(finished("spiral"), 20)
    assert found["plays_of"] >= len(found["plays"]) > 0
    for play in found["plays"]:
        assert len(play["turns"]) == len(play["moves"])


def test_of_a_long_run_some_rounds_are_shown():
    def step(r, *scopes):
        return Sampled("/".join([*scopes, "sample:0"]), "sample", r, (), (), (), {})

    steps = [step(r, f"round-{r:04}") for r in range(1, 321)]
    steps += [step(r, f"round-{r:04}", "held_out") for r in (0, *range(40, 321, 40))]
    shown = {s.round for s in _some_rounds(steps, 40)}
    assert len(shown) == 40
    assert {0, 1, 319, *range(40, 321, 40)} <= shown
    assert max(b - a for a, b in pairwise(sorted(shown))) <= 12
    assert _some_rounds(steps[:30], 40) == steps[:30]


def test_no_text_of_a_model_leaves_its_place(tmp_path):
    folder = hostile_run(tmp_path / "<b>run")
    told = write_report([folder], tmp_path / "out.html", 100)
    text = (tmp_path / "out.html").read_text()
    assert told["rollouts"] == len(WORDS)
    assert text.count("<script") == text.count("</script>") == len(SCRIPTS) + 1
    assert "<img" not in text
    assert "window.owned=1</script>" not in text
    [title] = re.findall(r"<title>(.*?)</title>", text)
    assert "<" not in title
    texts = {row["text"] for row in held(text)["rollouts"]["<b>run"]["rows"]}
    assert texts == {w.encode("utf-8", "replace").decode() for w in WORDS}


def test_json_in_a_page_cannot_end_its_element():
    value = {"</script>": ["<!--", "\u2028", "\ud800", "&", ">"]}
    text = embedded(value)
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == value


def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = finished("b_star")
    for argv in (
        ["report"],
        ["report", "gone"],
        ["report", str(run), "--out", "x.pdf"],
        ["report", str(run), "--out", str(run / "x.html")],
        ["report", str(run), "--rollouts", "-1"],
    ):
        assert main(argv) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (run / "x.html").exists()


def test_runs_of_one_name_are_told_apart(tmp_path):
    a, b = tmp_path / "x" / "run", tmp_path / "y" / "run"
    assert [name_of(f, [a, b]) for f in (a, b)] == ["x/run", "y/run"]
    assert name_of(a, [a]) == "run"


def test_torch_is_not_needed():
    code = "import sys, sharpen.studio.report, sharpen.studio.server; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
