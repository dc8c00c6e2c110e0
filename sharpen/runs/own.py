"""Code of the user's own, ``FILE.py:NAME``: a recipe, a task family, a verifier.

A file is run only where the user named it: on the command line, or by ``allow``. Settings of a run that came
from elsewhere choose among those files by name, and so never bring in code by themselves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from sharpen.errors import SharpenError, unknown

_TARGET = re.compile(
    r"(?P<file>[^:|=,\"'\[\]{}]+\.py)(?::(?P<name>[A-Za-z_]\w*))?(?::(?P<rest>.*))?", re.DOTALL
)
_TYPED = re.compile(r"([^:|=,\"'\[\]{}]+\.py)(?=$|[:|,\"'\]}])")
_ALLOWED: dict[str, Path] = {}
_LOADED: dict[Path, ModuleType] = {}


class Target(NamedTuple):
    """``FILE.py:NAME:REST`` taken apart; ``name`` is the file's own where none is given."""

    file: str
    name: str
    rest: str

    def __str__(self) -> str:
        """Without folders, as it stands in a run's header."""
        return f"{Path(self.file).name}:{self.name}"


def target(text: str) -> Target | None:
    """What ``text`` names, None where it names no file of the user's own."""
    found = _TARGET.fullmatch(text)
    if found is None:
        return None
    return Target(found["file"], found["name"] or Path(found["file"]).stem, found["rest"] or "")


def allow(*files: Path | str) -> None:
    """Let these files be run. Raises SharpenError for two of the same name, or one that cannot be read."""
    for file in map(Path, files):
        if not file.is_file():
            raise SharpenError(f"no file {str(file)!r}")
        known = _ALLOWED.setdefault(file.name, file.resolve())
        if known != file.resolve():
            raise SharpenError(f"two files of your own are called {file.name!r}: rename one of them")


def allow_typed(argv: Iterable[str]) -> None:
    """Allow every Python file that these words of a command line name and that is there. Raises SharpenError
    for ``FILE.py:NAME``, alone or as a setting's value, where there is no such file."""
    for word in argv:
        allow(*(name for name in _TYPED.findall(word) if Path(name).is_file()))
        wanted = target(word.partition("=")[2] or word)
        if wanted and ".py:" in word and not Path(wanted.file).is_file():
            raise SharpenError(f"{word}: no file {wanted.file!r}")


def forget() -> None:
    """Allow nothing any more, and load what is asked for again."""
    for module in _LOADED.values():
        sys.modules.pop(module.__name__, None)
    _ALLOWED.clear()
    _LOADED.clear()


def files() -> list[Path]:
    """The files that are allowed."""
    return list(_ALLOWED.values())


def digests() -> dict[str, str]:
    """A hash of each allowed file's text by its name: part of what a run's results rest on."""
    return {
        name: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        for name, path in sorted(_ALLOWED.items())
    }


def all_named(names: Iterable[str]) -> None:
    """Raise SharpenError where one of these files, which a run used, was not named this time."""
    absent = sorted(set(names) - set(_ALLOWED))
    if absent:
        told = " ".join(f"--code PATH/{name}" for name in absent)
        raise SharpenError(f"the run uses code of your own, which runs only where you name it: add `{told}`")


def load(text: str, kind: str) -> Any:
    """What ``FILE.py:NAME`` names; ``kind`` says in messages what it is to be.

    Raises:
        SharpenError: the file was not named by the user, cannot be run, or holds no such name.
    """
    wanted = target(text)
    if wanted is None:
        raise SharpenError(f"{kind} {text!r}: write FILE.py:NAME")
    module = _module(wanted, kind)
    if not hasattr(module, wanted.name):
        known = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
        raise unknown(f"{kind} in {wanted.file}", wanted.name, known or ["(nothing)"])
    return getattr(module, wanted.name)


def module_of(text: str, kind: str) -> ModuleType:
    """The module that ``FILE.py:NAME`` lies in; see ``load``."""
    wanted = target(text)
    assert wanted is not None
    return _module(wanted, kind)


def _module(wanted: Target, kind: str) -> ModuleType:
    path = _ALLOWED.get(Path(wanted.file).name)
    if path is None:
        here = Path(wanted.file).is_file()
        where = wanted.file if here else f"PATH/{Path(wanted.file).name}"
        lost = "" if here else f" and there is no file {wanted.file!r}"
        raise SharpenError(
            f"{kind} {wanted} is code of your own{lost}: it runs only where you name its file, as with "
            f"`--code {where}`"
        )
    if path not in _LOADED:
        _LOADED[path] = _run(path)
    return _LOADED[path]


class _Fresh(SourceFileLoader):
    """Reads the text every time: a cached byte code is told apart by whole seconds alone."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _run(path: Path) -> ModuleType:
    name = f"sharpen_own_{path.stem}"
    loader = _Fresh(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and settings look their own module up
    sys.path.insert(0, str(path.parent))  # its neighbours, as with `python FILE.py`
    try:
        loader.exec_module(module)
    except Exception as e:
        del sys.modules[name]
        where = f", line {e.lineno}" if isinstance(e, SyntaxError) else _line(e, path)
        raise SharpenError(f"{path.name} cannot be run: {type(e).__name__}: {e}{where}") from e
    finally:
        sys.path.remove(str(path.parent))
    return module


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it went wrong."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
