"""``sharpen studio``: a local server that shows the runs below a folder. It listens on loopback alone.

Every address begins with a token drawn at the start, which is compared in constant time; a request whose Host
is not ours is refused, so that no other site can reach us under a name of its own.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, missing
from sharpen.studio.curves import SECTIONS
from sharpen.studio.episodes import Sampled, read, rows_in, sampled_steps, whole
from sharpen.studio.folder import Folder
from sharpen.studio.matches import some_plays
from sharpen.studio.overview import overview
from sharpen.studio.page import SCRIPTS, SERVED_POLICY, STYLES, asset, served
from sharpen.studio.pieces import Pieces
from sharpen.studio.query import difference, episodes
from sharpen.studio.report import MOST_RUNS, compared, members
from sharpen.studio.sql import COLUMNS, MEASURES, answer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
SIBLINGS = 64
"""Attempts of a group that are sent at once."""
BODY = 64_000
"""Bytes of a request."""
REPLAY_SECONDS = 300
_TYPES = {".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": SERVED_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Studio:
    """The answers of the server, each a pure function of the folder as it is now. ``want`` is what was asked,
    a name of several values as a list."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root)

    def _steps(self, name: str) -> list[Sampled]:
        return sampled_steps(self.folder.manifest(name))

    def runs(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Folder.states``."""
        return {**self.folder.states(), "root": self.folder.root.resolve().name}

    def stamp(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """What changes when one of the runs does."""
        chosen = _several(want, "run")
        return {"stamps": [r["stamp"] for r in self.folder.states()["runs"] if r["id"] in chosen]}

    def overview(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """Some runs as a report has them, without their rollouts."""
        chosen = _several(want, "run")
        if not 0 < len(chosen) <= MOST_RUNS:
            raise SharpenError(f"choose 1 to {MOST_RUNS} runs")
        found = {name: self.folder.run(name) for name in chosen}
        groups = [members(f, self.folder._name(f))[1] for f in self.folder.seeds_of(chosen)]
        return {
            "sections": SECTIONS,
            "runs": [overview(folder, name) for name, folder in found.items()],
            "groups": [g for g in groups if g],
            "pairs": [] if groups else compared(list(found.items())),
        }

    def steps(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """The steps of a run that stored episodes."""
        steps = self._steps(_one(want, "run"))
        told = [
            {"key": s.key, "name": s.name, "round": s.round, "rows": s.rows, **s.about}
            for s in steps
            if s.parts
        ]
        return {"steps": told}

    def episodes(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """A page of a run's episodes."""
        return episodes(self._steps(_one(want, "run")), want)

    def group(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """The attempts of a step at a question, with their tokens."""
        manifest = self.folder.manifest(_one(want, "run"))
        step = _step(sampled_steps(manifest), _one(want, "step"))
        found = whole(step, Pieces(manifest.folder, manifest.steps), tasks=[_one(want, "task")])
        more = max(len(found) - SIBLINGS, 0)
        return {
            "rows": found[:SIBLINGS],
            "more": more,
            "about": step.about,
            "walk": _walk(step, str(want["task"])),
        }

    def plays(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """A page of a run's games."""
        played = [s for s in self._steps(_one(want, "run")) if s.plays]
        counts = [{"key": s.key, "plays": sum(rows_in(p) for p in s.plays)} for s in played]
        chosen = [_step(played, str(want["step"]))] if want.get("step") else played
        start, n = _number(want, "offset", 0), min(_number(want, "limit", 20), 100)
        rows: list[dict[str, Any]] = []
        total = 0
        for step in chosen:
            held = sum(rows_in(p) for p in step.plays)
            first = max(start - total, 0)
            if len(rows) < n and first < held:
                rows += some_plays(step.plays, step.key, step.round, n - len(rows), first)
            total += held
        return {"plays": rows, "total": total, "of": sum(c["plays"] for c in counts), "steps": counts}

    def sql(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """A reader's SELECT."""
        manifest = self.folder.manifest(_one(want, "run"))
        found = answer(sampled_steps(manifest), manifest.metrics, _one(want, "sql"))
        return {**found, "schema": {"rollouts": COLUMNS, "metrics": MEASURES}}

    def diff(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """Two steps' answers to the same questions."""
        manifest = self.folder.manifest(_one(want, "run"))
        steps = sampled_steps(manifest)
        a, b = _one(want, "a"), _one(want, "b")
        found = difference(steps, a, b, want)
        pieces = Pieces(manifest.folder, manifest.steps)
        asked = {r["key_a"] for r in found["rows"]}
        held = whole(_step(steps, a), pieces, keys=list(asked)) if asked else []
        questions = {r["key"]: "".join(s["text"] for s in r["spans"] if s["role"] == "prompt") for r in held}
        for row in found["rows"]:
            row["question"] = questions.get(row["key_a"], "")
        return found

    def replay(self, want: Mapping[str, Any]) -> dict[str, Any]:
        """``sharpen replay``, in a process of its own: bits depend on its thread count."""
        folder = self.folder.run(_one(want, "run")).resolve()
        command = [sys.executable, "-m", "sharpen", "replay", str(folder), "--json", "--", _one(want, "key")]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=REPLAY_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SharpenError(f"replay: stopped after {REPLAY_SECONDS} s") from None
        if done.returncode not in (0, 1) or not done.stdout.strip():
            raise SharpenError(
                (done.stderr.strip().splitlines() or ["replay failed"])[-1].removeprefix("sharpen: ")
            )
        return json.loads(done.stdout)


READ = ("runs", "stamp", "overview", "steps", "episodes", "group", "plays", "diff")
ASK = ("sql", "replay")
"""Asked with a body, so that they never stand in an address."""


def _one(want: Mapping[str, Any], name: str) -> str:
    value = want.get(name)
    if not isinstance(value, str) or not value:
        raise SharpenError(f"{name} is missing")
    return value


def _several(want: Mapping[str, Any], name: str) -> list[str]:
    value = want.get(name) or []
    return [value] if isinstance(value, str) else list(dict.fromkeys(value))


def _number(want: Mapping[str, Any], name: str, otherwise: int) -> int:
    text = str(want.get(name) or otherwise)
    if not text.isdigit():
        raise SharpenError(f"{name} is {text!r}: a whole number is wanted")
    return int(text)


def _walk(step: Sampled, task: str) -> dict[str, Any]:
    """Where a question stands among those of a step, and its neighbours."""
    tasks = list(dict.fromkeys(t for p in step.parts for t in read(p, ["task_id"])["task_id"].to_pylist()))
    at = tasks.index(task) if task in tasks else -1
    before, after = tasks[at - 1] if at > 0 else None, tasks[at + 1] if 0 <= at < len(tasks) - 1 else None
    return {"at": at, "of": len(tasks), "before": before, "after": after}


def _step(steps: list[Sampled], key: str) -> Sampled:
    for step in steps:
        if step.key == key:
            return step
    raise SharpenError(f"no step {key!r} with rollouts")


# the server -------------------------------------------------------------------------------------
def application(root: Path, token: str, port: int) -> Starlette:
    """The server's application. SharpenError where starlette is not installed."""
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError:
        raise missing("sharpen studio", "starlette and uvicorn", "studio") from None

    studio = Studio(root)
    hosts = {f"{name}:{port}" for name in NAMES}

    def refused(request: Request) -> Response | None:
        if request.headers.get("host", "") not in hosts:
            return Response("not this host", 421, HEADERS)
        # the whole path segment at once, in constant time
        given = request.path_params.get("token", "").encode()
        if not secrets.compare_digest(given, token.encode()):
            return Response("open the address that `sharpen studio` printed", 403, HEADERS)
        return None

    def page(request: Request) -> Response:
        return refused(request) or Response(served("Sharpen studio"), 200, HEADERS, "text/html")

    def web(request: Request) -> Response:
        name = request.path_params["name"]
        if (stopped := refused(request)) is not None:
            return stopped
        text = _asset(name)
        kind = _TYPES.get(Path(name).suffix, "text/plain")
        return Response("no such file", 404, HEADERS) if text is None else Response(text, 200, HEADERS, kind)

    async def api(request: Request) -> Response:
        if (stopped := refused(request)) is not None:
            return stopped
        verb = request.path_params["verb"]
        if verb not in (READ if request.method == "GET" else ASK):
            return JSONResponse({"error": f"no answer to {verb!r}"}, 404, HEADERS)
        try:
            want = await _wanted(request)
            told = await run_in_threadpool(getattr(studio, verb), want)
        except SharpenError as error:
            return JSONResponse({"error": " ".join(str(error).split())}, 400, HEADERS)
        except Exception as error:  # a run that cannot be read must not take the page with it
            traceback.print_exc()
            return JSONResponse({"error": f"this could not be read ({type(error).__name__})"}, 500, HEADERS)
        # ASCII escapes: a lone surrogate in a model's text is no UTF-8
        return Response(json.dumps(told, separators=(",", ":")), 200, HEADERS, "application/json")

    return Starlette(
        routes=[
            Route("/{token}/", page),
            Route("/{token}/web/{name:path}", web),
            Route("/{token}/api/{verb}", api, methods=["GET", "POST"]),
            Route(
                "/{token:path}", lambda request: refused(request) or Response("nothing here", 404, HEADERS)
            ),
        ]
    )


async def _wanted(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        items = request.query_params.multi_items()
        names = dict.fromkeys(name for name, _ in items)
        found = {n: [v for k, v in items if k == n] for n in names}
        return {n: v[0] if len(v) == 1 else v for n, v in found.items()}
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise SharpenError("a JSON body is wanted")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:
            raise SharpenError(f"more than {BODY:,} bytes were sent")
    try:
        want = json.loads(body)
    except ValueError:
        raise SharpenError("a JSON body is wanted") from None
    if not isinstance(want, dict):
        raise SharpenError("a JSON object is wanted")
    return want


def _asset(name: str) -> str | None:
    return asset(name) if name in (*SCRIPTS, *STYLES) else None


def serve(root: Path, port: int, told: Callable[[str], None]) -> None:
    """Serve until interrupted; ``told`` gets the address once it can be opened. Port 0: any free one.

    Raises SharpenError where the port is taken, or starlette or uvicorn is not installed.
    """
    run, _ = prepared(root, port, told)
    run()


def prepared(
    root: Path, port: int, told: Callable[[str], None]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """What serves until it is stopped, and what stops it; see ``serve``."""
    try:
        import uvicorn
    except ImportError:
        raise missing("sharpen studio", "starlette and uvicorn", "studio") from None

    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
    except (OSError, OverflowError) as error:
        held.close()
        raise SharpenError(
            f"studio: port {port} cannot be had: {getattr(error, 'strerror', error)}"
        ) from None
    token, port = secrets.token_urlsafe(24), held.getsockname()[1]

    class Told(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            told(f"http://{HOST}:{port}/{token}/")

        def stop(self) -> None:
            self.should_exit = True

    app = application(root, token, port)
    server = Told(
        uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    )
    return lambda: server.run(sockets=[held]), server.stop
