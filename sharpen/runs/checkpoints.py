"""Checkpoint folders: whole or absent, each with a list of its files' digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.runs import faults
from sharpen.runs.atomic import (
    TEMPORARY,
    make_folder,
    move,
    remove_folder,
    sync_file,
    sync_folder,
    told,
    write_synced,
)
from sharpen.runs.manifest import digest

DIGESTS = "digests.json"

_TAG = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_KEEP_LAST = re.compile(r"last_([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a checkpoint was written for (digest of its step's inputs) and its place among its step's."""

    inputs_digest: str
    order: int


def checked_tag(tag: str) -> str:
    """``tag``; raises SharpenError when it is no plain file name."""
    if not _TAG.fullmatch(tag):
        raise SharpenError(f"checkpoint tag {tag!r}: use letters, digits, '.', '_' and '-'")
    return tag


def kept(policy: str, tags: Sequence[str], scores: dict[str, float] | None = None) -> list[str]:
    """Which checkpoints a policy keeps.

    Args:
        policy: ``all``; ``last_<k>``; or ``best``, the highest score (the first of equals) and the last
            one, which work continues from.
        tags: in the order in which they were saved.
        scores: by tag, for ``best``; tags without a score are never best.

    Returns:
        Some of ``tags``, in their order.

    Raises:
        SharpenError: for another policy.
    """
    if policy == "all":
        return list(tags)
    if last := _KEEP_LAST.fullmatch(policy):
        return list(tags[-int(last.group(1)) :])
    if policy == "best":
        scored = [tag for tag in tags if tag in (scores or {})]
        best = {max(scored, key=lambda tag: (scores or {})[tag])} if scored else set()
        return [tag for tag in tags if tag in best or tag == tags[-1]]
    raise SharpenError(f"unknown keep policy {policy!r}: use all, last_<k> (such as last_2) or best")


def store(folder: Path, write: Callable[[Path], None], identity: Identity, *, expect: str = "") -> str:
    """Fill ``folder`` atomically by ``write(temporary folder)``.

    Returns the checkpoint's digest (over its inputs and files). Where ``expect`` is given and the digest
    differs, nothing is put in place.
    """
    temporary = folder.with_name(TEMPORARY + folder.name)
    with told(folder):
        make_folder(folder.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            faults.point("checkpoint.write.before")
            write(temporary)
            files = [path for path in sorted(temporary.rglob("*")) if path.is_file()]
            if not files:
                raise SharpenError(f"checkpoint {folder.name}: nothing was written into it")
            faults.foreign_write(files[-1], "checkpoint")
            listed = {
                path.relative_to(temporary).as_posix(): {"bytes": path.stat().st_size, "sha256": _hash(path)}
                for path in files
            }
            for path in (*files, *(p for p in temporary.rglob("*") if p.is_dir())):
                sync_folder(path) if path.is_dir() else sync_file(path)
            text = json.dumps({"inputs": identity.inputs_digest, "order": identity.order, "files": listed})
            write_synced(temporary / DIGESTS, text.encode(), "checkpoint")
            sync_folder(temporary)
            own = _digest(identity.inputs_digest, listed)
            if expect in ("", own):
                if folder.is_dir():
                    remove_folder(folder)
                move(temporary, folder, "checkpoint")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return own


def remove(folder: Path) -> None:
    """Remove a checkpoint, whole or damaged, and its step's folder with the last one; nothing happens where
    there is none."""
    if folder.is_dir():
        remove_folder(folder)
        with contextlib.suppress(OSError):  # not empty
            folder.parent.rmdir()


def tags(parent: Path, inputs_digest: str) -> list[str]:
    """Tags below ``parent`` of checkpoints that were written for these inputs and have all their files
    in full size, in the order in which they were first saved."""
    found = []
    for folder in parent.glob("*"):
        listing = _listing(folder) if not folder.name.startswith(TEMPORARY) else None
        if listing and listing["inputs"] == inputs_digest and _sizes_fit(folder, listing):
            found.append((listing["order"], folder.name))
    return [tag for _, tag in sorted(found)]


def summary(folder: Path, tag: str | None = None) -> dict[str, Any]:
    """What the manifest records of a checkpoint: order, digest, and the tag where given."""
    listing = _listing(folder)
    if listing is None:
        raise SharpenError(f"checkpoint {folder}: {DIGESTS} is missing or damaged")
    own = {"order": listing["order"], "sha256": _digest(listing["inputs"], listing["files"])}
    return own if tag is None else {"tag": tag, **own}


def looks_whole(folder: Path, sha256: str) -> bool:
    """True when the list of digests is the recorded one and the files have its sizes; reads no contents."""
    listing = _listing(folder)
    return (
        listing is not None
        and _digest(listing["inputs"], listing["files"]) == sha256
        and _sizes_fit(folder, listing)
    )


def fault(folder: Path, inputs_digest: str, sha256: str) -> str:
    """What is wrong with a checkpoint, every byte read; ``""`` when nothing is. ``sha256`` is the
    recorded digest, ``""`` where none is recorded yet."""
    if not folder.is_dir():
        return "it is missing"
    listing = _listing(folder)
    if listing is None:
        return f"{DIGESTS} is missing or damaged"
    if listing["inputs"] != inputs_digest:
        return "it was written for other inputs"
    if sha256 and _digest(listing["inputs"], listing["files"]) != sha256:
        return f"{DIGESTS} is not the recorded one"
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {DIGESTS}
    for name in sorted(present ^ set(listing["files"])):
        return f"{name} is missing" if name not in present else f"{name} does not belong to it"
    for name, expected in listing["files"].items():
        if _hash(folder / name) != expected["sha256"]:
            return f"{name} is damaged"
    return ""


def _digest(inputs_digest: str, files: dict[str, Any]) -> str:
    # the order is left out: a checkpoint that is saved again is the same checkpoint
    return digest({"inputs": inputs_digest, "files": files})


def _listing(folder: Path) -> dict[str, Any] | None:
    try:
        listing = json.loads((folder / DIGESTS).read_bytes())
        fits = set(listing) == {"inputs", "order", "files"} and isinstance(listing["order"], int)
        fits = fits and all(set(entry) == {"bytes", "sha256"} for entry in listing["files"].values())
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return listing if fits else None


def _sizes_fit(folder: Path, listing: dict[str, Any]) -> bool:
    sizes = {name: entry["bytes"] for name, entry in listing["files"].items()}
    return all((folder / n).is_file() and (folder / n).stat().st_size == size for n, size in sizes.items())


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
