"""The walls of the house: arrows between rooms point one way, and light things stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen

ROOT = Path(sharpen.__file__).parent
# from the foundation up; a room may import itself and those before it
ORDER = [
    "errors",
    "runs",
    "tasks",
    "sample",
    "score",
    "select",
    "strategies",
    "learn",
    "measure",
    "verbs",
    "recipes",
    "studio",
    "cli",
]
# shipped models stand apart: made from tasks and the words that ask, loaded by name
ALLOWED = {"models": {"errors", "runs", "tasks", "models", "strategies"}}
FORBIDDEN = {"utils", "common", "helpers", "core", "misc"}
# rooms whose code never computes with tensors
TORCH_FREE = ("runs", "tasks", "score", "select", "strategies", "recipes", "studio", "cli")


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Names of imported modules; those under TYPE_CHECKING and, on request, inside functions do not count."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()

    def walk(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            if isinstance(node, ast.ImportFrom) and node.module:
                found.update(f"{node.module}.{a.name}" for a in node.names)
            elif isinstance(node, ast.Import):
                found.update(a.name for a in node.names)
            elif top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for field in ("body", "orelse", "handlers", "finalbody"):
                walk(getattr(node, field, []))

    walk(tree.body)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_arrows_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__" or room == "__main__":
        return
    allowed = ALLOWED.get(room) or set(ORDER[: ORDER.index(room) + 1])
    if room in ("sample", "cli"):
        allowed = allowed | {"models"}  # a shipped model is found by its folder
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "sharpen" and len(parts) > 1 and parts[1] not in ("__version__",):
            assert parts[1] in allowed, f"{room} imports {name}"


def test_no_room_without_a_name() -> None:
    for path in modules():
        assert not FORBIDDEN & set(path.relative_to(ROOT).with_suffix("").parts), path


def test_light_rooms_import_no_torch() -> None:
    rooms = [p for p in modules() if room_of(p) in TORCH_FREE and p.name != "execute.py"]
    names = [
        ".".join(("sharpen", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in rooms
    ]
    code = (
        f"import importlib, sys\nfor n in {names}: importlib.import_module(n)\nprint('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_no_global_randomness_eval_or_pickle() -> None:
    for path in modules():
        if room_of(path) == "models":  # the script that made them seeds torch once, under fork_rng
            continue
        text = path.read_text()
        tree = ast.parse(text)
        names = imported(path)
        banned = {"pickle", "random", "shelve", "marshal"}
        # these put the global generator back after a library that uses it
        if path.name in ("reasoning_gym.py", "arena.py"):
            banned.remove("random")
        assert not names & banned, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "torch.load", "torch.manual_seed", "np.random.seed"), (
                    path
                )
                assert not any(
                    k.arg == "trust_remote_code" and ast.unparse(k.value) != "False" for k in node.keywords
                )
