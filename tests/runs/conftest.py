"""The tiny recipe in processes of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("tiny_recipe.py")

RunTiny = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def run_tiny() -> Iterator[RunTiny]:
    """``run_tiny(folder, fault="", **settings)`` creates or resumes the tiny run in a new process; returns
    its exit status (minus the signal when killed) and its error."""
    server = subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None

    def ask(folder: Path, fault: str = "", **settings: float) -> tuple[int, str]:
        server.stdin.write(json.dumps({"folder": str(folder), "fault": fault, "settings": settings}) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        return answer["status"], answer["error"]

    yield ask
    server.stdin.close()
    assert server.wait() == 0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where the system has one: SIGKILL loses no page, so a sync only costs time here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def whole(run_tiny: RunTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_tiny(folder) == (0, "")
    return folder
