"""Typed settings: a TOML file, ``key=value`` overrides from left to right, and one clear line when wrong.

A recipe's settings subclass ``Config``. Nothing is ever dropped silently: an
unknown key is an error that names the nearest known one. ``none`` stands for
None where a field may be None, in a file and on the command line alike (TOML
has no null).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sharpen.errors import SharpenError, nearest
from sharpen.runs.fields import Shape, explain, insert, leaves, parse, shape_at, without_none_words
from sharpen.runs.toml import dumps

JSON = Any

_UNKNOWN = (
    "extra_forbidden",
    "unexpected_keyword_argument",
)  # pydantic's names, of models and of dataclasses


class Row(NamedTuple):
    """One setting, for people: dotted key, type with its bounds, default, what it does."""

    key: str
    type: str
    default: str
    doc: str


class Config(BaseModel):
    """Base of all settings: frozen, unknown keys refused, a docstring under each field is its help."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )

    TINY: ClassVar[Mapping[str, JSON]] = {}
    """What ``--tiny`` changes: dotted keys to values. The code path stays the same."""

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, values: Any) -> Any:
        return over_defaults(cls, without_none_words(cls, values))

    @classmethod
    def tiny(cls) -> Self:
        """The settings of ``--tiny``: the defaults with ``TINY`` laid over them."""
        return load(cls, tiny=True)

    def plan(self) -> dict[str, JSON]:
        """Numbers that follow from the settings (``samples``, ``tokens`` at most, ``rounds``,
        ``optimizer_steps``, ...), shown by ``--dry-run``. Keys that end in ``_bytes`` are sizes."""
        return {}

    def values(self) -> dict[str, JSON]:
        """All settings as JSON values, nested."""
        return self.model_dump(mode="json")

    def flatten(self) -> dict[str, JSON]:
        """All settings as JSON values by dotted key."""
        return dict(_flat(self.values(), ""))

    def to_toml(self) -> str:
        """TOML text that ``load`` reads back to an equal object; the same settings give the same bytes."""
        return dumps(_words(self.values()))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name these settings (the order of fields does not enter)."""
        text = json.dumps(self.values(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


C = TypeVar("C", bound=Config)


def load(
    cls: type[C],
    file: Path | str | None = None,
    overrides: Sequence[str] = (),
    *,
    tiny: bool = False,
) -> C:
    """Settings of type ``cls``: its defaults, then ``TINY`` if ``tiny``, then ``file``, then ``overrides``.

    Args:
        file: a TOML file.
        overrides: ``key=value`` strings, dotted keys, the later one wins. Values are read by the
            field's type: strings need no quotes and keep their blanks, lists are ``[a, b]``.

    Raises:
        SharpenError: one line naming the key, the value and what is allowed.
    """
    values: dict[str, JSON] = {}
    if tiny:
        for key, value in cls.TINY.items():
            insert(values, key.split("."), value)
    if file is not None:
        _merge(values, read_toml(file), cls, "")
    return build(cls, values, overrides)


def change(config: C, overrides: Sequence[str]) -> C:
    """``config`` with ``key=value`` overrides. Raises SharpenError as ``load`` does."""
    return build(type(config), config.values(), overrides)


def build(cls: type[C], given: Mapping[str, JSON], overrides: Sequence[str] = ()) -> C:
    """``cls`` from nested values and overrides; every error is one SharpenError line."""
    values: dict[str, JSON] = copy.deepcopy(dict(given))
    for text in overrides:
        key, sign, raw = text.partition("=")
        key = key.strip()
        if not sign or not key:
            raise SharpenError(f"{text!r} is not a setting: write key=value")
        shape = shape_at(cls, key.split("."))
        if shape is None:
            raise unknown_key(cls, key)
        insert(values, key.split("."), parse(raw, shape))
    try:
        return cls.model_validate(values)
    except ValidationError as e:
        raise _one_line(cls, e) from None


def read_toml(file: Path | str) -> dict[str, JSON]:
    """The tables of a TOML file. Raises SharpenError naming the file when it cannot be read."""
    try:
        return tomllib.loads(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "is not UTF-8"
        raise SharpenError(f"settings file {str(file)!r}: {reason}") from None
    except tomllib.TOMLDecodeError as e:
        raise SharpenError(f"settings file {str(file)!r}: {e}") from None


def describe(cls: type[Config]) -> list[Row]:
    """One row a setting of ``cls``, nested ones by dotted key, in the order in which they are declared."""
    rows = []
    for key, shape in leaves(cls):
        default = "(needed)" if shape.required else _shown(shape.default)
        rows.append(Row(key, explain(shape), default, " ".join((shape.doc or "").split())))
    return rows


def over_defaults(cls: type[BaseModel], values: Any) -> Any:
    """``values`` for ``cls`` in which settings given for a nested field lie over that field's own default,
    and so leave the rest of it as it is: ``optimizer.lr=1e-4`` keeps the schedule of a recipe. Without this,
    they would lie over the defaults of its class."""
    if not isinstance(values, Mapping):
        return values
    known = {name: field.default for name, field in cls.model_fields.items()}
    return {name: _laid_over(known.get(name), given) for name, given in values.items()}


def _laid_over(default: Any, given: Any) -> Any:
    if not isinstance(given, Mapping) or isinstance(default, type):
        return given
    if isinstance(default, BaseModel):
        own = {name: getattr(default, name) for name in type(default).model_fields}
    elif dataclasses.is_dataclass(default):
        own = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    else:  # a plain mapping is a value, and replaced as one
        return given
    return {**own, **{name: _laid_over(own.get(name), value) for name, value in given.items()}}


def unknown_key(cls: type[Config], key: str) -> SharpenError:
    """The error for a key that ``cls`` does not have: it names the nearest one, nested ones included."""
    known = [k for k, _ in leaves(cls)]
    groups = {k.rsplit(".", 1)[0] for k in known if "." in k}
    last = key.rsplit(".", 1)[-1]
    # the right name in the wrong place comes before a similar name in the right place
    same = [k for k in known if k.rsplit(".", 1)[-1] == last]
    near = same[0] if len(same) == 1 else nearest(key, [*known, *groups])
    if not near:
        by_last = {k.rsplit(".", 1)[-1]: k for k in known}
        near = by_last.get(nearest(last, by_last), "")
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
    return SharpenError(f"unknown key {key!r}: {hint}")


def _one_line(cls: type[Config], error: ValidationError) -> SharpenError:
    problems = error.errors(include_url=False)
    # a mistyped key explains a missing one, so it is told first
    first = next((p for p in problems if p["type"] in _UNKNOWN), problems[0])
    path, shape = _locate(cls, first["loc"])
    key = ".".join(path)
    if first["type"] in _UNKNOWN:
        return unknown_key(cls, key)
    if first["type"] == "missing":
        return SharpenError(f"key {key!r} is missing: it has no default ({explain(shape) if shape else ''})")
    if first["type"] == "value_error":
        reason = str(first["msg"]).removeprefix("Value error, ")
        return SharpenError(f"{key} = {_shown(first['input'])}: {reason}" if key else reason)
    value = _shown(first["input"])
    if shape is None:
        return SharpenError(f"{key or 'settings'} = {value}: {first['msg']}")
    hint = ""
    if shape.choices and isinstance(first["input"], str):
        near = nearest(first["input"], map(str, shape.choices))
        hint = f"; did you mean {near!r}?" if near else ""
    return SharpenError(f"{key} = {value} is not allowed: {explain(shape)} is needed{hint}")


def _locate(cls: type[Config], loc: Iterable[str | int]) -> tuple[list[str], Shape | None]:
    """The dotted path of a pydantic error, without the tags that unions add to it, and its field."""
    path: list[str] = []
    shape: Shape | None = None
    for part in loc:
        step = shape_at(cls, [*path, str(part)])
        if step is not None:
            path.append(str(part))
            shape = step
        elif shape is None or shape.members:
            path.append(str(part))  # an unknown key, or a field of one that holds others
            shape = None
    return path, shape


def _merge(into: dict[str, JSON], new: Mapping[str, JSON], cls: type[Config], prefix: str) -> None:
    for key, value in new.items():
        path = f"{prefix}{key}"
        shape = shape_at(cls, path.split("."))
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and shape and shape.members:
            _merge(into[key], value, cls, f"{path}.")
        else:
            into[key] = value


def _flat(values: Mapping[str, JSON], prefix: str) -> Iterable[tuple[str, JSON]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(value: JSON) -> JSON:
    if isinstance(value, Mapping):
        return {k: _words(v) for k, v in value.items()}
    return "none" if value is None else value


def _shown(value: object) -> str:
    """A value as people write it, cut to one short line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    text = repr(value) if not isinstance(value, tuple | set | frozenset) else repr(list(value))
    return text if len(text) <= 60 else text[:57] + "..."
