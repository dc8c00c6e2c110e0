"""Whether a program that a model wrote passes its tests, run in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.sample.episode import Episode
from sharpen.score.group import completion_text
from sharpen.score.sandbox import Ran, call_function, last_block, run_python
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import mark_truncated
from sharpen.tasks.task import Task

SECOND_TRY = 4
"""A program that met a limit is run once more with limits this much larger, and only that decides."""


@dataclass(frozen=True)
class CodeVerifier:
    """Runs the last fenced block of a completion on the tests in ``task.data["tests"]``.

    A test is ``{"stdin": text, "stdout": text}`` (compared line by line, space at line ends aside), or
    ``{"function": name, "arguments": [...], "returns": value}`` (compared as JSON values). All tests passed:
    1, else 0; ``parts["passed"]`` is the share passed before the first that fails. A program that crashes,
    prints too much or is too slow is wrong: that is the answer's doing.

    Attributes:
        cpu_seconds, wall_seconds, memory_mib: limits of one run.
        unsafe: run code although a fork bomb cannot be held on this machine.
    """

    cpu_seconds: int = 2
    wall_seconds: float = 10.0
    memory_mib: int = 512
    unsafe: bool = False
    name: str = "code"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity. Where code may run is not part of it."""
        limits = {"cpu_seconds": self.cpu_seconds, "wall_seconds": self.wall_seconds}
        return {"verifier": self.name, **limits, "memory_mib": self.memory_mib}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        tests = task.data.get("tests")
        if not tests or not all(_is_test(t) for t in tests):
            return Verdict(0.0, Status.BAD_GOLD, by=self.name, detail=f"task {task.id!r} has no usable tests")
        source = last_block(completion_text(episode))
        if source is None:
            verdict = Verdict(0.0, Status.UNPARSABLE, by=self.name, detail="no complete block of code")
            return mark_truncated(verdict, episode, answered=False)
        passed, why = self._passed(source, tests)
        score = float(passed == len(tests))
        parts = {"correct": score, "passed": passed / len(tests)}
        return Verdict(score, by=self.name, detail=why, parts=parts)

    def _passed(self, source: str, tests: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
        """How many tests pass before the first that does not, and what is wrong with that one."""
        passed = 0
        while passed < len(tests):
            if "function" in tests[passed]:
                name = tests[passed]["function"]
                run = [t for t in tests[passed:] if t.get("function") == name]
                good, why = self._calls(source, name, run)
            else:
                run = [tests[passed]]
                good, why = self._prints(source, run[0])
            passed += good
            if good < len(run):
                return passed, f"test {passed + 1}: {why}"
        return passed, ""

    def _calls(self, source: str, name: str, tests: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
        calls = [t["arguments"] for t in tests]
        for factor in (1, SECOND_TRY):
            ran, results = call_function(source, name, calls, **self._limits(factor))
            good = 0
            while good < len(results) and results[good] == tests[good]["returns"]:
                good += 1
            if good == len(tests):
                return good, ""
            if good < len(results):
                return good, f"returned {str(results[good])[:60]!r}"
            if ran.how not in ("cpu", "wall"):
                break
        return good, _why(ran)

    def _prints(self, source: str, test: Mapping[str, Any]) -> tuple[int, str]:
        for factor in (1, SECOND_TRY):
            ran = run_python(source, stdin=test["stdin"], **self._limits(factor))
            if ran.how not in ("cpu", "wall"):
                break
        if ran.how != "ended" or ran.code:
            return 0, _why(ran)
        right = _lines(ran.stdout) == _lines(test["stdout"])
        return int(right), "" if right else f"printed {ran.stdout[:60]!r}"

    def _limits(self, factor: int) -> dict[str, Any]:
        return {
            "cpu_seconds": self.cpu_seconds * factor,
            "wall_seconds": self.wall_seconds * factor,
            "memory_mib": self.memory_mib,
            "unsafe": self.unsafe,
        }


def _is_test(test: Any) -> bool:
    if not isinstance(test, Mapping):
        return False
    if "function" in test:
        named = isinstance(test["function"], str)
        return named and isinstance(test.get("arguments"), list) and "returns" in test
    return isinstance(test.get("stdin"), str) and isinstance(test.get("stdout"), str)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _why(ran: Ran) -> str:
    if ran.how == "ended":
        last = ran.stderr.strip().splitlines()
        return f"ended with code {ran.code}{': ' + last[-1][:120] if last else ''}"
    told = {"cpu": "used too much CPU time", "wall": "took too long", "output": "wrote too much"}
    return told.get(ran.how, f"ended with signal {-ran.code}")
