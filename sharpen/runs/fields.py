"""What a setting may hold: the field behind a dotted key, its text form and its value read from text."""

from __future__ import annotations

import dataclasses
import enum
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "multiple of"}


@dataclasses.dataclass(frozen=True)
class Shape:
    """One setting: its type, bounds, default and help.

    ``members`` is the class whose fields lie below this one (a nested config or dataclass), else None.
    """

    annotation: Any
    metadata: tuple[Any, ...] = ()
    default: Any = PydanticUndefined
    doc: str | None = None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is PydanticUndefined

    @property
    def members(self) -> type | None:
        """The class of the fields below this one."""
        return next((t for t in _options(self.annotation) if _holds_fields(t)), None)

    @property
    def choices(self) -> list[Any]:
        """The values allowed where they are few and named."""
        out: list[Any] = []
        for t in _options(self.annotation):
            if get_origin(t) is Literal:
                out.extend(get_args(t))
            elif isinstance(t, type) and issubclass(t, enum.Enum):
                out.extend(m.value for m in t)
        return out


def optional(annotation: Any) -> bool:
    """Whether None is allowed."""
    return type(None) in _options(annotation)


def without_none_words(cls: type, values: Any) -> Any:
    """Nested ``values`` for ``cls`` with None for the text ``none`` wherever a field may be None."""
    if not isinstance(values, Mapping):
        return values
    fields, out = fields_of(cls), {}
    for key, value in values.items():
        shape = fields.get(key)
        if shape and value == "none" and optional(shape.annotation):
            value = None
        elif shape and (members := shape.members):
            value = without_none_words(members, value)
        out[key] = value
    return out


def fields_of(cls: type) -> dict[str, Shape]:
    """The settings directly under ``cls`` (a pydantic model or a dataclass)."""
    if issubclass(cls, BaseModel):
        out = {}
        for name, f in cls.model_fields.items():
            default = PydanticUndefined if f.is_required() else f.get_default(call_default_factory=True)
            out[name] = Shape(f.annotation, tuple(f.metadata), default, f.description)
        return out
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    out = {}
    for f in dataclasses.fields(cls):
        default = f.default if f.default is not missing else PydanticUndefined
        if f.default_factory is not missing:
            default = f.default_factory()
        out[f.name] = Shape(hints[f.name], (), default)
    return out


def shape_at(cls: type, path: Sequence[str]) -> Shape | None:
    """The setting at a dotted path below ``cls``, None where there is none."""
    shape: Shape | None = None
    here: type | None = cls
    for i, name in enumerate(path):
        if here is not None:
            shape = fields_of(here).get(name)
        elif shape is not None and (value := _mapping_value(shape.annotation)) is not None:
            shape = Shape(value)
        else:
            return None
        if shape is None:
            return None
        here = shape.members if i < len(path) - 1 else None
    return shape


def leaves(cls: type, prefix: str = "") -> Iterator[tuple[str, Shape]]:
    """Every setting below ``cls`` that holds no others, by dotted key, in declaration order."""
    for name, shape in fields_of(cls).items():
        members = shape.members
        if members is None:
            yield f"{prefix}{name}", shape
            continue
        given = shape.default
        if given is None:
            yield f"{prefix}{name}", shape  # absent unless one of its settings is given
        for key, inner in leaves(members, f"{prefix}{name}."):
            # the default of the nested object, where it has one, wins over its class's
            value = getattr(given, key.removeprefix(f"{prefix}{name}.").split(".")[0], PydanticUndefined)
            nested = "." in key.removeprefix(f"{prefix}{name}.")
            keep = value is PydanticUndefined or nested
            yield key, inner if keep else dataclasses.replace(inner, default=value)


def explain(shape: Shape) -> str:
    """What is allowed, in words: ``an integer >= 1``, ``one of 'a', 'b'``."""
    text = _words(shape.annotation)
    bounds = []
    for m in shape.metadata:
        bounds += [f"{sign} {getattr(m, name)}" for name, sign in _BOUNDS.items() if hasattr(m, name)]
        for name, word in (("min_length", "at least"), ("max_length", "at most")):
            if getattr(m, name, None) is not None:
                bounds.append(f"{word} {getattr(m, name)} long")
        if getattr(m, "pattern", None):
            bounds.append(f"like {m.pattern}")
    return " ".join([text, " and ".join(bounds)]).strip()


def parse(text: str, shape: Shape) -> Any:
    """A command-line value read by the type of its field; blanks around it belong to unquoted text alone.

    What does not fit comes back as the text itself: validation then says what is wrong with it.
    """
    return _parse(text, shape.annotation)


def insert(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Write ``value`` at a dotted path of nested dicts, making those on the way."""
    for name in path[:-1]:
        below = values.get(name)
        if not isinstance(below, dict):
            below = values[name] = {}
        values = below
    values[path[-1]] = value


def _parse(text: str, annotation: Any) -> Any:
    options = _options(annotation)
    given, text = text, text.strip()
    if text.lower() in ("none", "null") and type(None) in options:
        return None
    # text fits str always, so every other type is tried before it
    for t in sorted((t for t in options if t is not type(None)), key=lambda t: t is str):
        value = _parse_one(text, t)
        value = given if t is str and value == text else value
        try:
            return TypeAdapter(t).dump_python(TypeAdapter(t).validate_python(value), mode="json")
        except ValidationError:
            continue
    return _parse_one(text, options[0]) if len(options) == 1 else given


def _parse_one(text: str, t: Any) -> Any:
    origin = get_origin(t) or t
    if origin in (list, tuple, set, frozenset, Sequence) and text.startswith("[") and text.endswith("]"):
        kinds = [a for a in get_args(t) if a is not Ellipsis] or [Any]
        fixed = origin is tuple and Ellipsis not in get_args(t)
        parts = _split(text[1:-1])
        return [_parse(p, kinds[min(i, len(kinds) - 1)] if fixed else kinds[0]) for i, p in enumerate(parts)]
    if t is int and not text.lstrip("+-").isdigit():
        try:
            number = float(text)  # 1e4 is an integer too
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
    inline = text.startswith("{") or t is Any or (t is str and text[:1] in ('"', "'") and len(text) > 1)
    if inline:
        try:
            return tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            return text
    if get_origin(t) is Literal:
        return next((a for a in get_args(t) if str(a) == text), text)
    return text


def _split(text: str) -> list[str]:
    """The parts between commas that are not inside brackets or quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote and text[i - 1] != "\\" else quote
        elif c in "\"'" and not text[start:i].strip():
            quote = c
        elif c in "[{":
            depth += 1
        elif c in "]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def _options(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [o for a in get_args(annotation) for o in _options(a)]
    return [annotation]


def _holds_fields(t: Any) -> bool:
    return isinstance(t, type) and (issubclass(t, BaseModel) or dataclasses.is_dataclass(t))


def _mapping_value(annotation: Any) -> Any:
    for t in _options(annotation):
        if get_origin(t) in (dict, Mapping):
            return get_args(t)[1]
        if t is dict:
            return Any
    return None


def _words(annotation: Any) -> str:
    out = []
    choices = Shape(annotation).choices
    if choices:
        out.append("one of " + ", ".join(repr(c) for c in choices))
    for t in _options(annotation):
        origin = get_origin(t) or t
        if t is type(None):
            continue
        if t in _NAMES:
            out.append(_NAMES[t])
        elif origin in (list, tuple, set, frozenset, Sequence):
            kinds = [_words(a) for a in get_args(t) if a is not Ellipsis]
            out.append(f"a list [{', '.join(dict.fromkeys(kinds))}]")
        elif origin in (dict, Mapping):
            out.append("a table")
        elif get_origin(t) is not Literal and not (isinstance(t, type) and issubclass(t, enum.Enum)):
            out.append("settings" if _holds_fields(t) else getattr(t, "__name__", str(t)))
    if optional(annotation):
        out.append("none")
    return " or ".join(out)
