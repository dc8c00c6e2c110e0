"""A studio that runs beside a test, over a real socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

from sharpen.studio.server import prepared


@contextmanager
def studio(root: Path) -> Iterator[str]:
    """The address of a studio on ``root``, as the command prints it."""
    told: Queue[str] = Queue()
    run, stop = prepared(root, 0, told.put)
    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield told.get(timeout=60)
    finally:
        stop()
        thread.join(30)
