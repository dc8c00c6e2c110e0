"""Tools that a model may call: plain typed functions, their schemas, and calls read from text.

A call is written ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, as Qwen and Hermes models are
trained to. What is wrong with a call is told to the model in one line, and counted; nothing is guessed.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from sharpen.errors import SharpenError, unknown

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_OPEN = "<tool_call>"
MOST_CALLS = 8
"""So many calls of one message are carried out, the rest is not."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: of the function. about: its docstring's first line.
        arguments: what it takes, as a pydantic model that refuses what it does not know.
        fn: what is called; what it returns is shown as text.
    """

    name: str
    about: str
    arguments: type[BaseModel]
    fn: Callable[..., Any]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema in the form that chat templates take as ``tools``."""
        parameters = self.arguments.model_json_schema()
        parameters.pop("title", None)
        for told in parameters.get("properties", {}).values():
            told.pop("title", None)
        about = {"name": self.name, "description": self.about, "parameters": parameters}
        return {"type": "function", "function": about}


def tool(fn: Callable[..., Any]) -> Tool:
    """The tool that a function is. SharpenError where an argument has no type or takes many values."""
    hints, fields = get_type_hints(fn), {}
    for name, parameter in inspect.signature(fn).parameters.items():
        if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SharpenError(f"tool {fn.__name__}: argument {name!r} needs a type")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], default)
    strict = ConfigDict(extra="forbid", strict=True)
    arguments: Any = create_model(fn.__name__, __config__=strict, **fields)
    return Tool(fn.__name__, (inspect.getdoc(fn) or "").partition("\n")[0], arguments, fn)


def described(tools: Sequence[Tool]) -> str:
    """The schemas, a line each, for models whose template takes none."""
    return "\n".join(json.dumps(t.schema["function"]) for t in tools)


@dataclass(frozen=True, slots=True)
class Used:
    """What came of the calls in a message.

    Attributes:
        text: what each gave, a line each; ``""`` where there was none.
        calls: how many there were, malformed ones included.
        malformed: how many could not be carried out as written.
        failed: how many were carried out, and the tool raised.
    """

    text: str
    calls: int
    malformed: int
    failed: int


def use(tools: Sequence[Tool], message: str) -> Used:
    """Carry out the calls in a message, in order."""
    known = {t.name: t for t in tools}
    written = _CALL.findall(message)
    lines: list[str] = []
    malformed = failed = 0
    for text in written[:MOST_CALLS]:
        try:
            name, arguments = _read(known, text)
        except SharpenError as problem:
            malformed += 1
            lines.append(f"error: {problem}")
            continue
        try:
            lines.append(_shown(known[name].fn(**arguments)))
        except Exception as problem:
            failed += 1
            lines.append(f"error: {type(problem).__name__}: {problem}")
    if len(written) > MOST_CALLS:
        lines.append(f"error: only the first {MOST_CALLS} calls of a message are carried out")
    rest = _CALL.sub("", message)
    if _OPEN in rest:
        malformed += 1
        lines.append("error: a <tool_call> is not closed")
    calls = len(written) + rest.count(_OPEN)
    return Used("\n".join(lines), calls, malformed, failed)


def _read(known: Mapping[str, Tool], text: str) -> tuple[str, dict[str, Any]]:
    """The tool's name and its arguments; SharpenError, for the model to read, where it cannot be."""
    try:
        call = json.loads(text)
    except ValueError as problem:
        raise SharpenError(f"the call is no JSON: {problem}") from None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise SharpenError('a call is {"name": ..., "arguments": {...}}')
    name, arguments = call["name"], call.get("arguments", {})
    if name not in known:
        raise unknown("tool", name, known)
    if not isinstance(arguments, dict):
        raise SharpenError(f"{name}: arguments are an object")
    try:
        read = known[name].arguments.model_validate_json(json.dumps(arguments))
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SharpenError(f"{name}: {where}: {first['msg']}") from None
    return name, {field: getattr(read, field) for field in type(read).model_fields}


def _shown(result: Any) -> str:
    """One line where that is possible: text as it is, anything else as JSON."""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result)
    except TypeError:
        return str(result)
