"""The one page of report and studio: a shell, its styles and scripts, put together for a file or a server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import Any

STYLES = ("app.css",)
SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    "dom.js",
    "source.js",
    "charts.js",
    "overview.js",
    "rollouts.js",
    "episode.js",
    "matches.js",
    "runs.js",
    "query.js",
    "app.js",
)
"""In the order in which they are run."""
# styles may stand in the page, as the charts set their own; nothing at all is loaded or sent from a report
_COMMON = "default-src 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
SERVED_POLICY = (
    f"{_COMMON}; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)
"""Content-Security-Policy of the studio's pages."""


@cache
def asset(name: str) -> str:
    """The text of a file of ``web/``."""
    return files("sharpen.studio").joinpath("web", name).read_text("utf-8")


def embedded(value: Any) -> str:
    """JSON for a ``<script type="application/json">``: no character in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def standalone(title: str, data: Any) -> str:
    """The page as one file that needs nothing else: it opens offline, and its policy lets only its own
    scripts run, each by its hash."""
    scripts = [asset(name) for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{_sha256(s)}'" for s in scripts)
    policy = f"{_COMMON}; script-src {hashes}; style-src 'unsafe-inline'; img-src data:"
    return _page(
        title,
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "".join(f"<style>{asset(name)}</style>" for name in STYLES),
        f'<script type="application/json" id="data">{embedded(data)}</script>'
        + "".join(f"<script>{s}</script>" for s in scripts),
    )


def served(title: str) -> str:
    """The page as a server gives it: styles and scripts are files beside it."""
    data = f'<script type="application/json" id="data">{embedded({"kind": "studio"})}</script>'
    return _page(
        title,
        "",
        "".join(f'<link rel="stylesheet" href="web/{name}">' for name in STYLES),
        data + "".join(f'<script src="web/{name}"></script>' for name in SCRIPTS),
    )


def _page(title: str, policy: str, styles: str, scripts: str) -> str:
    shell = asset("index.html")
    for mark, text in (("<!--policy-->", policy), ("<!--styles-->", styles), ("<!--scripts-->", scripts)):
        head, _, rest = shell.partition(mark)
        shell = head + text + rest
    head, _, rest = shell.partition("<!--title-->")
    return head + html.escape(title) + rest


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
