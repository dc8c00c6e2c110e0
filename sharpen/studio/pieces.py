"""Token ids as the pieces of text that they stand for, by the tokenizers that a run's checkpoints hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.runs.step import CHECKPOINTS, slug_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


class Pieces:
    """The tokenizers of one run, each loaded when first needed.

    Args:
        folder: the run.
        steps: its manifest's lines by key.
    """

    def __init__(self, folder: Path, steps: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder, self._by_version = folder, {}
        self._loaded: dict[str, Tokenizer | None] = {}
        self._of: dict[str, Tokenizer | None] = {}
        for key, line in steps.items():
            version = (line["result"] or {}).get("version")
            for saved in line["checkpoints"]:
                place = folder / CHECKPOINTS / slug_of(key) / saved["tag"]
                self._by_version.setdefault(str(version), []).append(place)

    def split(self, ids: Sequence[int], version: str) -> list[str]:
        """A piece a token; together they are the text. A token that ends inside a character has the piece
        ``""``, the one that completes it the whole character. Without a tokenizer: the ids, in brackets."""
        tokenizer = self._tokenizer(version)
        if tokenizer is None:
            return [f"⟨{i}⟩" for i in ids]
        from tokenizers.decoders import DecodeStream

        stream, out = DecodeStream(skip_special_tokens=False), []
        for i in ids:
            out.append(stream.step(tokenizer, int(i)) or "")
        # what is left of a character that the tokens never completed
        if ids and not out[-1]:
            out[-1] = "\ufffd"
        return out

    def _tokenizer(self, version: str) -> Tokenizer | None:
        if version not in self._of:
            # policies of one run nearly always share their tokenizer, and a checkpoint may have been given up
            every = [p for places in self._by_version.values() for p in places]
            self._of[version] = self._first([*self._by_version.get(version, ()), *every])
        return self._of[version]

    def _first(self, places: Iterable[Path]) -> Tokenizer | None:
        for place in places:
            for below in ("", "policy", "base"):
                path = place / below / FILE
                if path.is_file():
                    return self._load(path)
        return None

    def _load(self, path: Path) -> Tokenizer | None:
        from tokenizers import Tokenizer

        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._loaded:
            self._loaded[digest] = Tokenizer.from_buffer(data)
        return self._loaded[digest]
