"""vLLM's own server with a model on loopback, for as long as a ``with`` block runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE = 300
"""Seconds until the server must answer."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    "HF_HUB_OFFLINE": "1",
}


@contextmanager
def serving(folder: Path, name: str, *options: str) -> Iterator[str]:
    """The address, up to ``/v1``, of a float32 server of the model in ``folder`` that takes adapters and new
    weights. The server and its workers are gone afterwards.

    Raises:
        RuntimeError: it did not come up; with the end of what it said.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--model", str(folder), "--served-model-name", name]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64"]
    command += ["--enable-lora", "--max-lora-rank", "8", *options]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(
            command, env=os.environ | ENVIRONMENT, stdout=said, stderr=said, start_new_session=True
        )
        try:
            if not _up(server, f"http://127.0.0.1:{port}/health"):
                said.seek(0)
                raise RuntimeError(said.read().decode(errors="replace")[-3000:])
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            # the session is the server's own: its workers are in it
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _up(server: subprocess.Popen[bytes], address: str) -> bool:
    pause = threading.Event()
    for _ in range(2 * PATIENCE):
        if server.poll() is not None:
            return False
        try:
            with urlopen(address, timeout=5):
                return True
        except (URLError, OSError):
            pause.wait(0.5)
    return False
