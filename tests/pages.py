"""A page's fenced blocks."""

import re
from typing import NamedTuple


class Block(NamedTuple):
    """``kind`` is the word behind the fence, ``title`` the file that the block is to be."""

    kind: str
    title: str
    body: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order. ValueError where the last one stays open."""
    found, fence = [], ""
    head, lines = "", []
    for line in text.splitlines():
        mark = re.match(r"\s*(`{3,})(.*)", line)
        if mark and not fence:
            fence, head, lines = mark[1], mark[2].strip(), []
        elif mark and mark[1] == fence and not mark[2].strip():
            title = re.search(r'title="([^"]+)"', head)
            kind = head.split()[0] if head else ""
            found.append(Block(kind, title[1] if title else "", "".join(f"{line}\n" for line in lines)))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        raise ValueError(f"a block stays open: {head} {lines[:1]}")
    return found
