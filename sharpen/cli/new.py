"""The verb ``new``: a recipe, task family or verifier of one's own that runs, with its test and its page."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from sharpen.cli.parsing import Parser
from sharpen.errors import SharpenError, unknown

KINDS = ("recipe", "task", "verifier")
TEMPLATES = Path(__file__).with_name("templates")
NEXT = {
    "recipe": "sharpen run {file} --tiny",
    "task": "sharpen check-task {file}:{cls}",
    "verifier": "sharpen run online_rft verifier={file}:{name} --tiny",
}


def new(argv: Sequence[str]) -> int:
    """``sharpen new recipe|task|verifier NAME``."""
    parser = Parser("new", "A skeleton that runs: NAME.py, its test and its page. Nothing is overwritten.")
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="a Python name in small letters, such as my_method")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="where (default: here)")
    args = parser.read(argv)
    if args is None:
        return 0
    if args.kind not in KINDS:
        raise unknown("kind", args.kind, KINDS)
    written = write(args.kind, checked(args.name), args.out)
    print("\n".join(f"wrote  {path}" for path in written))
    told = NEXT[args.kind].format(file=written[0], name=args.name, cls=class_name(args.name))
    print(f"next   {told}\n       pytest {written[1]}")
    return 0


def write(kind: str, name: str, out: Path) -> list[Path]:
    """Write the files of a ``kind``; the file itself first, then its test and its page.

    Raises SharpenError, before anything is written, where one of them is there already.
    """
    files = {
        out / form.replace("NAME", name): TEMPLATES / kind / f"{form}.txt"
        for form in ("NAME.py", "test_NAME.py", "NAME.md")
    }
    there = [path for path in files if path.exists()]
    if there:
        raise SharpenError(f"{there[0]} exists already: choose another name, or another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, form in files.items():
            text = Template(form.read_text("utf-8")).substitute(name=name, Class=class_name(name))
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as e:
        raise SharpenError(f"cannot write to {out}: {e.strerror}") from None
    return list(files)


def checked(name: str) -> str:
    """``name``, where a module may be called so. SharpenError says what is wrong and what would do."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
        near = near.lstrip("0123456789_")
        hint = f", such as {near!r}" if near else ""
        raise SharpenError(f"{name!r} is no name: small letters, digits and _ make one{hint}")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise SharpenError(f"{name!r} is a word of Python: choose another name, such as {'my_' + name!r}")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise SharpenError(f"{name!r} is a module already: choose another name, such as {'my_' + name!r}")
    return name


def class_name(name: str) -> str:
    """``my_words`` as ``MyWords``."""
    return "".join(part.capitalize() for part in name.split("_"))
