"""Packaged models: from the GGUF file in a Python package to a folder in the Hugging Face layout, once.

Reading GGUF takes a minute and more, so the float32 weights are kept in the cache. Beside them lies
``made.json`` with the SHA-256 of every file; a folder that is not what it says is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.errors import SharpenError
from sharpen.models.names import Packaged
from sharpen.sample.policy import policy_from, save_policy

MADE = "made.json"


def ready(model: Packaged) -> Path:
    """The folder of a packaged model, every byte verified; made now where it is absent or damaged.

    Raises:
        SharpenError: its package or ``gguf`` is not installed, the package's file is not the expected one,
            or the disk cannot take the folder.
    """
    folder = model.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f".{folder.name}.lock")):  # two runs may start at once
            if not _whole(folder):
                _make(model, folder)
    except OSError as error:
        raise SharpenError(
            f"model {model.name!r}: cannot write {folder}: {error.strerror or error}"
        ) from error
    return folder


def convert(file: Path, folder: Path, *, name: str, end_tokens: tuple[str, ...] = ()) -> None:
    """Write the model in a GGUF file in the Hugging Face layout, dequantised to float32.

    Args:
        file: the GGUF file: weights, configuration and tokenizer.
        folder: an empty folder.
        name: the model's, for people.
        end_tokens: ends a completion besides the end token that the file names.

    Raises:
        SharpenError: the file cannot be read, or an end token is not in the vocabulary.
    """
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
            module = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise SharpenError(f"model {name!r}: {file.name} cannot be read: {error}") from None
    for key in ("is_local", *options):  # how it was loaded, which it would save among its settings
        tokenizer.init_kwargs.pop(key, None)
    vars(module.config).pop("quantization_config", None)  # its weights are plain numbers now
    ends = [module.config.get_text_config().eos_token_id]
    for token in end_tokens:
        ends.append(tokenizer.convert_tokens_to_ids(token))
        if ends[-1] in (None, tokenizer.unk_token_id):
            raise SharpenError(f"model {name!r}: end token {token!r} is not in its vocabulary")
    module.generation_config.eos_token_id = ends
    save_policy(policy_from(module, tokenizer, name), folder)


def _make(model: Packaged, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise SharpenError(f"model {model.name!r} needs the library gguf: {model.install}")
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    size = f"{4 * model.parameters / 1e9:.1f} GB"
    print(
        f"{model.name}: converting once to {folder} (a minute or two, {size}) ...",
        file=sys.stderr,
        flush=True,
    )
    print(f"{model.name}: its weights come under {model.terms}", file=sys.stderr, flush=True)
    try:
        file = temporary / "model.gguf"
        importlib.import_module(model.module).assemble(file)
        if (found := _sha256(file)) != model.sha256:
            raise SharpenError(
                f"model {model.name!r}: {model.package} holds another file than expected, {found}"
            )
        made = temporary / "made"
        made.mkdir()
        convert(file, made, name=model.name, end_tokens=model.end_tokens)
        files = {p.name: _sha256(p) for p in sorted(made.iterdir())}
        about = {"package": model.package, "version": model.version, "gguf": model.sha256, "files": files}
        (made / MADE).write_text(json.dumps(about, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(made, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _whole(folder: Path) -> bool:
    """Whether the folder's files are those that ``made.json`` lists."""
    try:
        files = json.loads((folder / MADE).read_text())["files"]
        return all(_sha256(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is inside."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars; some of them cannot be switched off."""
    with redirect_stderr(io.StringIO()):
        yield
