"""Errors a user can act on, each one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SharpenError(Exception):
    """Something the user can mend. The command prints its one line and exits with 2."""


class Refused(SharpenError):
    """A resumed run met a finished step whose inputs differ from those on disk."""


class NotFinite(SharpenError):
    """A weight, loss, gradient or reward became NaN or infinite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The closest known name to ``name`` (case is ignored), or ``""`` when nothing is near."""
    by_lower = {k.lower(): k for k in known}
    hit = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.4)
    return by_lower[hit[0]] if hit else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> SharpenError:
    """The error for an unknown ``kind`` (``"recipe"``, ``"task"``, ...) called ``name``."""
    known = sorted(known)
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
    return SharpenError(f"unknown {kind} {name!r}: {hint}")


def missing(what: str, library: str, extra: str) -> SharpenError:
    """The error where ``what`` needs a library that is not installed; ``extra`` of this package brings it."""
    return SharpenError(f"{what} needs {library}: pip install 'sharpen[{extra}]'")
