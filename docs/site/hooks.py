"""What turns the pages into a site: those that the front page holds, links to sources, and the navigation.

A link from a page to a file that is no page (a source, a result, a model's card) leads, on the site, to a
page that shows the file: the site is whole without a repository on the net.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SOURCES = "source"
"""Where files that are no pages are shown."""
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".md": ""}
HIDDEN = "---\nsearch:\n  exclude: true\n---\n"
"""A search finds pages, not the files they lead to."""
SHIM, SHIM_ELSEWHERE = "iframe-worker.js", "https://unpkg.com/iframe-worker/shim"
LONGEST = 200_000
"""Characters of a file that are shown."""

FIRST = {"Quickstart": "index.md", "The house": "house.md"}
USING = ("extending.md", "rollouts.md", "sinks.md", "performance.md", "reliability.md")
PARTS = ("tasks.md", "verifiers.md", "engines.md", "strategies.md", "plays.md", "games.md")
LAST = {"API": "api.md"}

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^\s*```")
_LIST = re.compile(r"^\s*([-*]|\d+\.) ")
_STAR = re.compile(
    r"(^\s*\* |`[^`]*`|\*\*[^*]+\*\*|(?<![\w*)])\*(?=[^\s*])[^*]*[^\s*]\*(?!\w))|\*", re.MULTILINE
)
"""Code, lists and emphasis; or an asterisk that is only itself, as in n*."""
_COMMENT = re.compile(r"^<!-- /?[\w-]+(:.*)? -->$")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation, from the pages that there are: a new one needs no list to be edited."""
    methods = [f"methods/{p.name}" for p in sorted((DOCS / "methods").glob("*.md"))]
    known = {*FIRST.values(), *LAST.values(), *USING, *PARTS, "README.md", "index.md"}
    more = sorted(p.name for p in DOCS.glob("*.md") if p.name not in known)
    nav: list[Any] = [{title: page} for title, page in FIRST.items()]
    nav.append({"Using it": [p for p in (*USING, *more) if (DOCS / p).exists()]})
    nav.append({"Methods": ["methods/index.md", *methods]})
    nav.append({"Parts": list(PARTS)})
    nav += [{title: page} for title, page in LAST.items()]
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the front page, the list of methods, and a page for every file that a page links to."""
    made = {
        "index.md": (quickstart(), "README.md"),
        "methods/index.md": (methods(), "docs/methods/README.md"),
    }
    for uri, (text, at) in made.items():
        files.append(File.generated(config, uri, content=rewritten(text, at, uri)))
    for name in ("site.css", SHIM):
        files.append(File.generated(config, name, abs_src_path=str(DOCS / "site" / name)))
    waiting = [(text, at) for text, at in made.values()]
    waiting += [(p.read_text("utf-8"), p.relative_to(ROOT).as_posix()) for p in DOCS.rglob("*.md")]
    done: set[str] = set()
    while waiting:
        text, at = waiting.pop()
        for target in outside(text, at):
            if target not in done:
                done.add(target)
                shown = source_page(target)
                uri = source_uri(target)
                files.append(File.generated(config, uri, content=rewritten(shown, target, uri)))
                if target.endswith(".md"):
                    waiting.append((shown, target))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of a page to files that are no pages; and what this Markdown reads otherwise than the web's."""
    if page.file.generated_by:
        return spaced(markdown)
    return spaced(rewritten(markdown, f"docs/{page.file.src_uri}", page.file.src_uri))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The plugin for reading from the disk takes its script from another machine: here it comes along."""
    return output.replace(SHIM_ELSEWHERE, posixpath.relpath(SHIM, posixpath.dirname(page.url) or "."))


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """As for pages."""
    return output.replace(SHIM_ELSEWHERE, SHIM)


def quickstart() -> str:
    """The front page up to the table of methods."""
    text = (ROOT / "README.md").read_text("utf-8")
    return text[: text.index("\n## Methods")] + "\n"


def methods() -> str:
    """The list of pages on methods, and the table of the front page."""
    front = (ROOT / "README.md").read_text("utf-8")
    table = front[front.index("\n## Methods") : front.index("\n## A run is a folder")]
    pages = (DOCS / "README.md").read_text("utf-8").splitlines()
    listed = [line for line in pages if line.startswith("- [") and "(methods/" in line]
    moved = "\n".join(listed).replace("(methods/", "(")
    # the table's links are the front page's
    table = (
        table.replace("(docs/methods/", "(").replace("(docs/", "(../").replace("(sharpen/", "(../../sharpen/")
    )
    return f"# Methods\n{moved}\n\n## Side by side\n{table.removeprefix(chr(10) + '## Methods')}"


def target_of(link: str, at: str) -> str:
    """The path from the root that a link of the file ``at`` leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(at), link))


def outside(text: str, at: str) -> list[str]:
    """The files and folders that are there but are no pages, which a text links to."""
    found = [target_of(m[1], at) for m in _LINK.finditer(without_code(text))]
    return [t for t in found if not is_page(t) and (ROOT / t).exists()]


def is_page(target: str) -> bool:
    """Whether a path from the root is a page of the site, or a picture beside one."""
    inside = target.startswith("docs/") and not target.startswith("docs/site/")
    return target == "README.md" or (inside and (ROOT / target).is_file())


def source_uri(target: str) -> str:
    """Where a file is shown."""
    return f"{SOURCES}/{target}" if target.endswith(".md") else f"{SOURCES}/{target}.md"


def source_page(target: str) -> str:
    """The page that shows a file, or lists a folder."""
    path = ROOT / target
    if path.is_dir():
        names = "\n".join(f"- {p.name}" for p in sorted(path.iterdir()) if not p.name.startswith(("_", ".")))
        return f"{HIDDEN}# {target}\n\n{names}\n"
    text = path.read_text("utf-8")
    if target.endswith(".md"):
        return text
    cut = f"\nOnly its first {LONGEST:,} characters are shown here.\n" if len(text) > LONGEST else ""
    return f"{HIDDEN}# {target}\n{cut}\n````{LANGUAGES.get(path.suffix, 'text')}\n{text[:LONGEST]}\n````\n"


def rewritten(text: str, at: str, uri: str) -> str:
    """The text of the file ``at`` with links that hold on the site, where it is the page ``uri``."""

    def link(found: re.Match[str]) -> str:
        target = target_of(found[1], at)
        if not is_page(target) and not (ROOT / target).exists():
            return found[0]
        there = "index.md" if target == "README.md" else target.removeprefix("docs/")
        there = "methods/index.md" if target == "docs/README.md" else there
        there = there if is_page(target) else source_uri(target)
        return f"]({posixpath.relpath(there, posixpath.dirname(uri) or '.')}{found[2] or ''})"

    parts = re.split(r"(^`{3,}.*?^`{3,}$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def without_code(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^`{3,}.*?^`{3,}$", "", text, flags=re.DOTALL | re.MULTILINE)


def spaced(text: str) -> str:
    """A blank line before each list and table, which the web's Markdown does without; no marks of regions; no
    emphasis where the web sees none."""
    out: list[str] = []
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        if not fenced and _COMMENT.match(line):
            line = ""
        before = out[-1] if out else ""
        opens = _LIST.match(line) and not _LIST.match(before) and not before.startswith("  ")
        opens = opens or (line.startswith("|") and not before.startswith("|"))
        if not fenced and opens and before.strip():
            out.append("")
        out.append(line)
    parts = re.split(r"(^`{3,}.*?^`{3,}$)", "\n".join(out) + "\n", flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _STAR.sub(_itself, part) for part in parts)


def _itself(found: re.Match[str]) -> str:
    return found[0] if found[1] else "\\*"
