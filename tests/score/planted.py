"""Checkers that misbehave, for the pool's tests: each is run in a worker process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

seen: list[str] = []


def check(text: str) -> dict:
    """Does what the text says; else 1 for ``right``, 0 for anything else."""
    seen.append(text)
    if text == "hang":
        while True:
            pass
    if text == "hang in C":
        return {"score": 2003 ** (2002**2001)}
    if text == "sleep":
        time.sleep(3600)
    if text == "raise":
        raise ValueError("bad \ud800 news\nsecond line")
    if text == "memory":
        return {"score": len(bytearray(1 << 33))}
    if text == "exit":
        sys.exit(0)
    if text == "exit now":
        os._exit(3)
    if text == "killed":
        os.kill(os.getpid(), signal.SIGSEGV)
    if text == "flood":
        for _ in range(1000):
            print("x" * 10_000)
            os.write(1, b"not json\n" * 100)
            os.write(2, b"x" * 1000)
    if text == "thread":
        threading.Thread(target=time.sleep, args=(0.01,)).start()
    if text == "long":
        return {"score": 1, "detail": "x" * (1 << 21)}
    if text.startswith("spin "):
        end = time.process_time() + float(text[5:])
        while time.process_time() < end:
            pass
    return {"score": float(text == "right")}


def calls(text: str) -> int:
    """How many texts this process has seen (not pure, to see which process ran what), after 0.15 s."""
    seen.append(text)
    check("spin 0.15")
    seen.pop()
    return len(seen)


def echo(text: str) -> str:
    """As much as it is given."""
    return text


def judge(gold: str, completion: str) -> dict:
    """A check as pooled verifiers want it."""
    if completion == "unread":
        return {"score": 0.0, "status": "unparsable", "detail": "no answer"}
    return {"score": check(completion)["score"], "status": "ok", "detail": ""}
