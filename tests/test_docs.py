"""What the pages promise: their commands run, their code runs, their tables are those of the result files."""

import json
import re
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import sharpen
import sharpen.recipes.b_star as recipe
import sharpen.recipes.online_rft as online_rft
from sharpen.cli import VERBS, main
from sharpen.measure.report import METRICS
from sharpen.recipes import RECIPES
from sharpen.recipes.execute import execute
from sharpen.runs.config import load
from sharpen.sample.policy import checksum, load_policy
from sharpen.sample.steering import Steering, save_steering
from tests.pages import blocks

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "experiments"))
import card  # noqa: E402
import outcomes  # noqa: E402
import regions  # noqa: E402
import run as experiments  # noqa: E402
import tables  # noqa: E402

PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "sharpen/models").glob("*/*.md")]
)
SMALLEST = (
    "rounds=1", "pool=8", "queries=4", "samples=2", "steps=1", "batch_rows=4", "held_out=6",
    "held_out_sampled=4", "held_out_samples=4", "max_new_tokens=32", "monitored=2",
    "temperatures=[0.5,1.0]", "selected=8",
)  # fmt: skip


SHELL = ("", "sh", "shell", "text", "console")
"""Blocks whose lines ``sharpen ...`` are run; the others are output, or other people's."""
RUN_BY = {
    "games.md": ("pycon", "tests/tasks/games/test_page.py"),
    "plays.md": ("python", "tests/verbs/test_playing.py"),
    "tasks.md": ("python", "tests/outside/test_pages.py"),
}
"""Pages whose code another test runs."""
KEY = "held_out/sample:0/countdown-test-0/0"
"""An attempt of the small runs."""
KIN = ("sft", "star", "rest_em", "rft", "iterative_rft", "online_rft", "b_star")
"""The recipes that B-STaR's page compares."""


def commands() -> list[str]:
    """Every ``sharpen ...`` of the pages, in blocks of commands and inline."""
    found = {}
    for page in PAGES:
        if page.name == "extending.md":
            continue  # tests/test_extending.py runs its commands to the end
        text = page.read_text()
        for block in blocks(text):
            if block.kind not in SHELL:
                continue
            body = block.body.replace("\\\n", " ")
            lines = [line.split("  #")[0].strip() for line in body.splitlines()]
            found |= dict.fromkeys(line for line in lines if line.startswith("sharpen "))
        found |= dict.fromkeys(re.findall(r"`(sharpen [^`\n]+)`", text))
    return list(found)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with two runs of the smallest settings: runs/mine and runs/other."""
    root = tmp_path_factory.mktemp("docs")
    settings = load(recipe.Settings, None, SMALLEST)
    for seed, name in enumerate(("mine", "other")):
        execute("b_star", settings, root / "runs" / name, seed)
    return root


@pytest.mark.parametrize("command", commands())
def test_commands_work(command, tiny, tmp_path, monkeypatch, capsys):
    shutil.copytree(tiny / "runs", tmp_path / "runs")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    _, verb, *rest = shlex.split(command)
    if "--out" in rest:
        shutil.rmtree(rest[rest.index("--out") + 1], ignore_errors=True)
    if verb in ("run", "eval"):
        rest.append("--dry-run")
    if verb == "studio":  # it would serve until it is stopped
        monkeypatch.setattr(
            "sharpen.studio.server.serve", lambda folder, port, told: told("http://127.0.0.1/")
        )
        rest.append("--no-open")
    if verb == "replay":
        rest = ["runs/mine" if word == "RUN" else KEY if word == "KEY" else word for word in rest]
    assert main([verb, *rest]) == 0, capsys.readouterr().err


def all_blocks():
    return [(page, block) for page in PAGES for block in blocks(page.read_text())]


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (page.name, block.body)
        for page, block in all_blocks()
        if block.kind == "python" and not block.title and page.name not in (*RUN_BY, "README.md")
    ],
)
def test_the_python_of_a_page_runs(page, code, tiny, tmp_path, monkeypatch):
    shutil.copytree(tiny / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    if "steering" in code:
        policy = load_policy("nano")
        vector = np.ones((1, policy.module().config.hidden_size), np.float32)
        kept = Steering(checksum(policy), (0,), vector, 1.0)
        save_steering(kept, tmp_path / re.findall(r'"(runs/[^"]+)"', code)[0], {})
    small = partial(sharpen.evaluate, settings=("questions=2", "max_new_tokens=16"))
    monkeypatch.setattr(sharpen, "evaluate", small)
    exec(compile(code, page, "exec"), {})


def test_every_block_is_run_by_a_test():
    for page, block in all_blocks():
        if block.kind in (*SHELL, "python"):
            continue  # the tests above
        assert page.name in RUN_BY, (page.name, block.kind)
        assert RUN_BY[page.name][0] in ("", *(b.kind for _, b in all_blocks())), page
    for page, (_, test) in RUN_BY.items():
        text = (ROOT / test).read_text()
        assert page in text, f"{test} no longer runs {page}"


def test_scripts_and_targets_that_pages_name_are_there():
    text = "\n".join(page.read_text() for page in PAGES)
    makefile = (ROOT / "Makefile").read_text()
    outside = re.search(r"^OUTSIDE := (.*)$", makefile, re.MULTILINE)
    made = [f"{verb}-{name}" for name in outside[1].split() for verb in ("install", "test-outside")]
    made += re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert set(re.findall(r"^(?:\$ )?make ([a-z-]+)", text, re.MULTILINE)) <= set(made)
    named = re.findall(r"python (experiments/\w+\.py)([^`&\n]*)", text)
    assert len(named) > 10
    known = "".join(path.read_text() for path in (ROOT / "experiments").glob("*.py"))
    for script, options in named:
        assert (ROOT / script).is_file(), script
        for option in re.findall(r" '?(--[a-z-]+)", options):
            assert f'"{option}"' in known, (script, option)


def test_every_verb_and_recipe_is_told_of():
    told = {command.split()[1] for command in commands()}
    assert told - {"--help"} == set(VERBS)
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in RECIPES if f"`{name}`" not in text] == []


def test_the_python_of_the_front_page_runs(tmp_path, monkeypatch, capsys):
    [code] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line]) == 5
    monkeypatch.chdir(tmp_path)
    small = load(online_rft.Settings, None, SMALLEST[:-3])
    monkeypatch.setattr(online_rft, "Settings", lambda: small)
    exec(compile(code, "README.md", "exec"), {})
    assert "held out" in capsys.readouterr().out


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for file, name in re.findall(r"\]\(([^)]+\.py)\)`::(\w+)`", text):
        assert f"def {name}(" in (page.parent / file).read_text(), name


def test_tables_are_up_to_date(capsys):
    assert tables.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("model", sorted(card.MIXTURES))
def test_cards_are_up_to_date(model):
    page = card.MODELS / model / "README.md"
    assert regions.update(page, lambda name: card.region(model, name), check=True)


def test_an_unclosed_region_is_an_error():
    with pytest.raises(ValueError, match="opened"):
        regions.filled("<!-- table:a -->\n", str)
    with pytest.raises(ValueError, match="opened"):
        regions.filled("<!-- table:a -->\n<!-- table:b -->\n<!-- /table -->\n", str)


# the tables, from real runs -----------------------------------------------------------------------
@pytest.fixture
def measured(tiny, tmp_path, monkeypatch):
    """Result files of all experiments, each arm standing on the same two small runs."""
    results = tmp_path / "results"
    results.mkdir()
    plan = experiments.with_base("nano")
    for name, experiment in plan.items():
        found = []
        for arm in experiment.arms:
            for seed, folder in enumerate((tiny / "runs" / "mine", tiny / "runs" / "other")):
                extra = arm.after[1](folder, seed) if arm.after else ()
                found.append(experiments.collect(arm, extra, folder, seed))
        file = {
            "experiment": name,
            "base": "nano",
            "command": f"run {name}",
            "date": "2026-01-02",
            "runs": found,
        }
        (results / f"{name}-nano.json").write_text(json.dumps(file))
    monkeypatch.setattr(outcomes, "RESULTS", results)
    monkeypatch.setattr(outcomes.INTERVALS, "known", {})
    monkeypatch.setattr(outcomes.INTERVALS, "used", {})
    outcomes.read.cache_clear()
    yield results
    outcomes.read.cache_clear()


def body(name):
    return [
        [c.strip() for c in line.split("|")[1:-1]]
        for line in tables.region(name).splitlines()
        if line[:1] == "|"
    ]


def test_tables_tell_what_was_run(measured):
    demo = body("demo-nano")
    assert [row[0] for row in demo[2:]] == ["online_rft", "shuffled rewards", "random of n", "gold SFT"]
    arm = outcomes.read("demo", "nano").arm("online_rft")
    base, final = (float(arm.outcomes("accuracy_greedy", end).mean()) for end in ("base", "final"))
    assert demo[2][1:3] == [f"{100 * base:.1f}", f"{100 * final:.1f}"]
    assert demo[2][3].startswith(f"{100 * (final - base):+.1f} (")
    cells = dict(zip(demo[0][1:], demo[2][1:], strict=False))
    # 1 round of 4 questions x 2; the search: 2 questions x 2 at 2 temperatures
    assert (cells["attempts"], cells["other attempts"], cells["updates"]) == ("8", "8", "1")
    text = tables.region("demo-nano")
    assert "`run demo`, 2 seeds, 6 held-out questions, 4 of them at T=1, base nano (" in text
    assert "2026-01-02" in text


def test_every_kind_of_table_can_be_written(measured):
    assert {row[0] for row in body("methods-nano")[2:]} == {f"`{name}`" for name in KIN}
    assert {row[0] for row in body("summary-nano")[2:]} == {f"`{name}`" for name in KIN}
    rows = body("b_star-nano")
    assert len(rows) - 2 == len(experiments.with_base("nano")["b_star"].arms)
    assert rows[0][4:6] == ["pass@4", "Pass@4-4"]
    # all arms are the same runs here: no difference, so at least the best fixed one but not above the others
    assert rows[3][-2] == "+0.0 (+0.0 to +0.0)"
    words = tables.region("b_star-nano")
    assert "The criteria are not met by the means on nano" in words
    assert words.count(", met (") == 1
    assert [row[0] for row in body("star-nano")[2:]] == ["star", "shuffled rewards"]
    assert "points (not apart from 0), T=1 +0.0 (+0.0 to +0.0)" in tables.region("star-nano")
    assert "sharpen run star --config experiments/star.toml model=nano" in tables.region("star-nano")
    assert tables.region("real-nano").startswith("On a real language model, nano, STaR takes")
    assert len(body("schedule-nano")) == 2 + 2 + 1
    assert body("rounds-nano")[0] == ["arm", "measure", "base", "round 1"]
    assert len(body("measures")) == 2 + len(METRICS)
    with pytest.raises(KeyError):
        tables.region("unheard-nano")


def test_the_claim_is_judged_by_the_numbers(measured):
    found = json.loads((measured / "b_star-nano.json").read_text())
    for row in found["runs"]:
        n = len(row["items"]["accuracy_greedy"]["final"])
        row["items"]["accuracy_greedy"]["final"] = ("1" if row["arm"] == "b_star" else "0") * n
    better = tables.b_star_words(outcomes.result_of(found))
    assert "The criteria are met" in better
    assert better.count("the interval is above 0") == 3
    for row in found["runs"]:
        if row["arm"] == "fixed T=1.3 tau=0.8":
            row["items"]["accuracy_greedy"]["final"] = "1" * n
        elif row["arm"] == "b_star":
            row["items"]["accuracy_greedy"]["final"] = "1" * (n - 1) + "0"
    worse = tables.b_star_words(outcomes.result_of(found))
    assert "(fixed T=1.3 tau=0.8)" in worse
    assert "The criteria are not met" in worse


def test_runs_from_two_bases_are_not_one_table(measured):
    found = json.loads((measured / "demo-nano.json").read_text())
    found["runs"][0]["base"] = "other"
    with pytest.raises(ValueError, match="2 different bases"):
        outcomes.result_of(found)


def test_what_was_not_measured_says_how(measured):
    (measured / "demo-nano.json").unlink()
    outcomes.read.cache_clear()
    assert tables.region("demo-nano") == "Not measured yet: run `python experiments/run.py demo --base nano`."
    assert {row[0] for row in body("methods-nano")[2:]} == {f"`{n}`" for n in KIN} - {
        "`sft`",
        "`online_rft`",
    }


def test_kept_intervals_are_those_of_their_values(tmp_path):
    values = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    fresh = outcomes.Intervals(tmp_path / "intervals.json")
    found = fresh.of(values, "accuracy_greedy")
    fresh.save()
    kept = outcomes.Intervals(tmp_path / "intervals.json")
    assert kept.of(values, "accuracy_greedy") == found == tuple(outcomes.compute(values, "accuracy_greedy"))
    assert kept.known == kept.used
    assert kept.of(values / 2, "accuracy_greedy") != found
