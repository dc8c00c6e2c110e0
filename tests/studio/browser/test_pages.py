"""Report and studio as a reader uses them, in a real browser."""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.studio.report import write_report
from sharpen.verbs.seeds import write_plan
from tests.studio.big import big_run
from tests.studio.hostile import WORDS, hostile_run
from tests.studio.judged import ENVIRONMENT, judged_run
from tests.studio.served import studio
from tests.tiny import finished

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SIZES = [(1280, 900), (390, 844)]


@pytest.fixture(scope="module")
def root(tmp_path_factory, aside):
    """Runs of every kind: two seeds of a real one, games, and one made by hand."""
    return aside(_made, tmp_path_factory.mktemp("browser") / "runs")


def _made(root: Path) -> Path:
    write_plan(root / "two", "b_star", [0, 1], "")
    for seed in (0, 1):
        (root / "two" / f"seed-{seed}").symlink_to(finished("b_star"))
    (root / "games").symlink_to(finished("spiral"))
    judged_run(root / "hand", {
        "held_out": [("q", "yes it is", False), ("r", "no", True)],
        "round-0001/held_out": [("q", "yes it was", True), ("r", "no", True)],
    })  # fmt: skip
    return root


@pytest.fixture(scope="module")
def report(root, tmp_path_factory):
    """The address of a report on two seeds and a run of games."""
    path = tmp_path_factory.mktemp("file") / "report.html"
    write_report([root / "two", root / "games"], path, 120)
    return path.as_uri()


@pytest.fixture(scope="module")
def live(root):
    with studio(root) as address:
        yield address


def opened(page, address, route="", **params):
    page.goto("about:blank")
    words = urlencode({k: v for k, v in params.items() if v is not None}, doseq=True)
    page.goto(f"{address}#{route}{'?' + words if words else ''}")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("main > .view")


def until(page, expression: str) -> None:
    """Wait until it holds. (``wait_for_function`` needs eval in the page, which its policy refuses.)"""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def overflows(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


# the report ---------------------------------------------------------------------------------------
def test_the_overview_shows_what_was_gained_in_every_curve(page, report):
    opened(page, report)
    assert "95 % over seeds and questions" in page.inner_text(".heads")
    titles = page.locator("section.block > h3").all_inner_texts()
    assert {"Accuracy by round", "Exploration and exploitation", "Contests", "Policy gradient"} <= set(titles)
    chart = page.locator('[data-chart="held_out/accuracy_greedy"]')
    chart.scroll_into_view_if_needed()
    assert chart.locator("svg[role=img]").get_attribute("aria-label").startswith("greedy")
    chart.locator("summary").click()
    chart.locator("td").first.wait_for()  # the table is made when it is opened
    assert chart.locator("td").count() > 6
    # putting a run aside takes its line out of every chart
    lines = chart.locator('svg [data-mark="line"] path').count()
    page.locator("button.chip").first.click()
    chart = page.locator('[data-chart="held_out/accuracy_greedy"]')
    chart.scroll_into_view_if_needed()
    chart.locator("svg").wait_for()
    assert chart.locator('svg [data-mark="line"] path').count() < lines


def test_filter_to_wrong_answers_open_a_group_shade_by_entropy(page, report):
    opened(page, report, "rollouts")
    page.get_by_role("radio", name="Wrong").click()
    until(page, "location.hash.includes('outcome=wrong')")
    marks = page.locator(".rows .mark").all()
    assert marks
    assert all("wrong" in mark.get_attribute("class") for mark in marks)
    page.locator(".rows a.row").first.click()
    page.wait_for_selector("article.card")
    assert page.locator("article.card.chosen, article.card").count() >= 1
    assert page.inner_text(".prompt pre").startswith("Make ")
    page.get_by_role("radio", name="Entropy").click()
    page.wait_for_selector("pre.tokens.shaded")
    colours = page.eval_on_selector_all(
        ".token", "all => all.map((t) => getComputedStyle(t).backgroundColor)"
    )
    assert len(set(colours)) > 2
    assert "less sure" in page.inner_text(".shade")
    page.locator(".token").nth(1).hover()
    assert "entropy" in page.inner_text(".readout >> nth=0")


def test_search_and_pages(page, report):
    opened(page, report, "rollouts")
    page.get_by_label("Search text").fill("Make 1")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('text=')")
    page.wait_for_selector("[aria-busy=false] .count")
    told = page.inner_text(".count")
    assert "that fit" in told
    opened(page, report, "rollouts")
    page.get_by_role("button", name="Next").click()
    until(page, "document.querySelector('.count').textContent.startsWith('51')")


def test_games_are_replayed_move_by_move(page, report):
    opened(page, report, "games", run="games")
    page.wait_for_selector(".turn")
    moves = page.locator(".turn").count()
    assert "sees" in page.inner_text(".turn >> nth=0")
    page.get_by_role("button", name="← Move").click()
    assert page.locator(".turn").count() == moves - 1


def test_hostile_text_is_text_and_runs_nothing(page, aside, tmp_path):
    folder = aside(hostile_run, tmp_path / "<img src=x onerror=window.owned=1>")
    write_report([folder], tmp_path / "page.html", 100)
    address = (tmp_path / "page.html").as_uri()
    with studio(tmp_path) as served:
        for where, run in ((address, folder.name), (served, folder.name)):
            opened(page, where, "rollouts", run=run)
            page.wait_for_selector("a.row")
            assert page.locator("a.row").count() == len(WORDS)
            assert "<img src=x" in page.inner_text(".rows")
            shown = ""
            for i in (0, 4):
                opened(page, where, "rollouts", run=run)
                page.locator("a.row").nth(i).click()
                page.wait_for_selector("article.card")
                shown += page.inner_text("main")
            assert "window.owned" in shown
            assert "U+202E" in shown
            assert not {"\u202e", "\x1b", "\u2066"} & set(shown)
            opened(page, where, "overview", runs=run)
            page.wait_for_selector(".head")
            assert page.evaluate("window.owned") is None
            assert page.locator("main img, main script").count() == 0


# the studio ---------------------------------------------------------------------------------------
def test_compare_two_runs(page, live):
    opened(page, live)
    page.get_by_label("choose two/seed-0").check()
    page.get_by_label("choose hand").check()
    page.get_by_role("button", name="Compare 2 runs").click()
    page.wait_for_selector(".chips")
    assert page.locator(".head h2").all_inner_texts() == ["two/seed-0", "hand"]
    opened(page, live)
    page.get_by_label("all seeds of two").check()
    page.get_by_role("button", name="Compare 2 runs").click()
    page.wait_for_selector(".head")
    assert "2 of 2 seeds" in page.inner_text(".head")


def test_a_live_run_is_followed(page, aside, tmp_path):
    with studio(tmp_path) as address:
        opened(page, address)
        assert "No run" in page.inner_text("main")
        header = {"recipe": "by_hand", "seed": 0, **ENVIRONMENT}
        journal = aside(Journal.create, tmp_path / "going", header, "rounds = 3\n")
        page.wait_for_selector('tr[data-run="going"] .state.running')
        aside(_measured, journal, 0, 0.25)
        until(page, "document.body.innerText.includes('25.0 %')")
        aside(_measured, journal, 1, 0.75)
        until(page, "document.body.innerText.includes('75.0 %')")
        page.get_by_role("link", name="going").click()
        page.wait_for_selector(".head .state.running")
        aside(_measured, journal, 2, 0.5)
        until(page, "document.querySelector('.gain .big').innerText.includes('50.0')")
        aside(journal.close)
        page.wait_for_selector(".head .state.stopped")


def _measured(journal: Journal, r: int, accuracy: float) -> None:
    with journal.scope(f"round-{r:04d}"):
        step = journal.begin("log", {"round": r})
        row = {"name": "held_out", "round": r, "accuracy_greedy": accuracy, "accuracy_greedy_low": 0.1,
               "accuracy_greedy_high": 0.9}  # fmt: skip
        step.finish({}, metrics=[row])


def test_sql_rounds_and_rollouts_of_a_run(page, live):
    opened(page, live, "sql", run="hand")
    page.get_by_label("SQL").fill("select count(*) as n from rollouts where not correct")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("table.mono td")
    assert page.inner_text("table.mono td") == "1"
    page.get_by_label("SQL").fill("copy rollouts to 'x.csv'")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector("[role=alert]")
    assert "one SELECT" in page.inner_text("[role=alert]")
    opened(page, live, "diff", run="hand", a="held_out/sample:0", b="round-0001/held_out/sample:0")
    page.wait_for_selector(".pair")
    page.get_by_role("radio", name="Fixed 1").click()
    until(page, "document.querySelectorAll('.pair').length === 1")
    assert page.inner_text(".pair del") == "is"
    assert page.inner_text(".pair ins") == "was"


def test_replay_one_attempt(page, live, root):
    step = "held_out/sample:0"
    key = next(k for k in read_manifest(root / "two" / "seed-0").steps if k == step)
    opened(page, live, "rollouts", run="two/seed-0", step=key)
    page.locator("a.row").first.click()
    page.wait_for_selector("article.card")
    page.get_by_role("button", name="Replay").first.click()
    until(page, "document.querySelector('article [role=status]').textContent.includes('same bytes')")


def test_a_page_of_many_rollouts_comes_at_once(page, aside, tmp_path):
    aside(big_run, tmp_path / "runs" / "big", 100_000)
    with studio(tmp_path / "runs") as address:
        opened(page, address, "rollouts", run="big", offset=99_950)
        page.wait_for_selector("a.row")
        assert page.locator("a.row").count() == 50
        assert "99,951–100,000 of 100,000" in page.inner_text(".count")


# for everyone -------------------------------------------------------------------------------------
def test_the_keyboard_is_enough(page, report):
    opened(page, report, "rollouts")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    # a list is one stop; arrows move in it, Enter opens
    assert page.locator('.rows [data-row][tabindex="0"]').count() == 1
    page.locator(".rows [data-row]").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.dataset.row")
    assert chosen == page.locator(".rows [data-row]").nth(2).get_attribute("data-row")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("article.card")
    page.locator(".token").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.i") == "1"
    page.get_by_role("radio", name="Plain").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("pre.tokens.shaded")
    assert page.evaluate("document.activeElement.textContent") == "Log-probability"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: str(s[0]))
def test_axe_finds_nothing_serious_and_nothing_overflows(page, report, live, scheme, size):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    task = _first_task(page, report)
    routes = [(report, "overview", {}), (report, "rollouts", {}), (report, "group", {**task, "shade": "en"}),
              (report, "games", {"run": "games"}), (live, "runs", {}),
              (live, "overview", {"runs": ["two/seed-0", "hand"]}),
              (live, "sql", {"run": "hand"}), (live, "diff", {"run": "hand"})]  # fmt: skip
    found: list[tuple[str, ...]] = []
    for address, route, params in routes:
        opened(page, address, route, **params)
        page.wait_for_selector("main:not([aria-busy=true])")
        if route == "overview":
            page.locator(".chart").first.scroll_into_view_if_needed()
            page.locator(".chart svg").first.wait_for()
        assert overflows(page) <= 0, (route, size)
        found += [(route, *line) for line in serious(page)]
    assert found == [], "\n".join(" ".join(line) for line in found)


def _first_task(page, report) -> dict[str, str]:
    opened(page, report, "rollouts")
    row = page.locator("a.row").first
    return {
        "run": "two/seed-0",
        "step": row.get_attribute("data-step"),
        "task": row.get_attribute("data-task"),
    }


def serious(page) -> list[tuple[str, ...]]:
    """What axe finds that is serious or worse. It is evaluated, not added: the page's policy lets no other
    script in."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (v["id"], str(n["target"]), n.get("failureSummary", "")[:200])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"][:3]
    ]
