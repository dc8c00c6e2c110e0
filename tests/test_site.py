"""The pages as a site: it builds without a warning, asks no other machine, and shows what there is."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning, such as a link that leads nowhere, is an error."""
    if not (find_spec("mkdocs") and find_spec("material") and find_spec("mkdocstrings")):
        pytest.skip("the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def pages(site):
    return {p.relative_to(site).as_posix(): p.read_text() for p in site.rglob("*.html")}


def test_nothing_is_fetched_from_another_machine(site):
    loads = re.compile(
        r'<(?:script|img|iframe|link[^>]*rel="?(?:stylesheet|preload|icon))[^>]*(?:src|href)="?(https?:|//)'
    )
    assert [name for name, text in pages(site).items() if loads.search(text)] == []
    assert all(not re.search(r"@import|url\(\"?(https?:|//)", p.read_text()) for p in site.rglob("*.css"))
    assert (site / "iframe-worker.js").is_file()


def test_every_page_has_its_place(site):
    front = (site / "index.html").read_text()
    written = [p.relative_to(DOCS).with_suffix(".html").as_posix() for p in DOCS.rglob("*.md")]
    for page in written:
        if page not in ("README.html",):
            assert (site / page).is_file(), page
            assert f'href="{page}"' in front, page


def test_the_quickstart_is_the_front_page(site):
    text = (ROOT / "README.md").read_text()
    output = re.search(r"<!-- demo-output -->\n```\n(.*?)```", text, re.DOTALL)
    assert output
    shown = (site / "index.html").read_text()
    for line in output[1].splitlines():
        assert line.strip()[:20] in shown


def test_a_link_to_a_source_leads_to_the_source(site):
    found = pages(site)
    linked = [t for text in found.values() for t in re.findall(r'href="(?:\.\./)*(source/[^"#]+)"', text)]
    assert len(set(linked)) > 50
    assert [t for t in set(linked) if t not in found] == []
    assert "curriculum" in found["source/sharpen/select/curriculum.py.html"]
    names = (p.name for p in (ROOT / "experiments/results").glob("*.json"))
    assert all(name in found["source/experiments/results.html"] for name in names)


def test_entry_points_are_told_with_their_docstrings(site):
    api = (site / "api.html").read_text()
    for name in re.findall(r"^::: (\S+)", (DOCS / "api.md").read_text(), re.MULTILINE):
        assert f'id="{name}"' in api, name


def test_the_picture_of_the_house_is_that_of_its_imports():
    done = subprocess.run([sys.executable, "docs/site/house.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python docs/site/house.py"


def test_every_promise_names_a_test_that_is_there():
    rows = [line for line in (DOCS / "reliability.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 8
    for row in rows:
        found = re.search(r"\]\(([^)]+\.py)\)`::(\w+)`", row)
        assert found, row
        assert f"def {found[2]}(" in (DOCS / found[1]).read_text(), row
