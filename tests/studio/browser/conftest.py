"""A page in the system's Chromium; skipped, with the reason, where there is none."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

REFUSED = "status of 400"
"""What the browser says of an answer that names a mistake of the reader."""
PATHS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    # no longer than the module: while playwright runs, its event loop is this thread's, and a journal writes
    # from no coroutine
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = next((p for p in map(shutil.which, PATHS) if p), None)
    if path is None:
        pytest.skip("needs Chromium on this system: apt-get install chromium")
    with api.sync_playwright() as p:
        # as root, as in CI, Chromium has no sandbox to offer
        chromium = p.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def aside() -> Iterator[Callable[..., Any]]:
    """Calls a function in another thread, always the same, and returns its result: there runs can be made."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda fn, *args: pool.submit(fn, *args).result()


@pytest.fixture
def page(browser) -> Iterator:
    """A page that fails its test on any script error or message of the browser's console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console", lambda m: problems.append(m.text) if m.type == "error" and REFUSED not in m.text else None
    )
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    yield page
    context.close()
    assert problems == []
