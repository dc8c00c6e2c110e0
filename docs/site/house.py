"""Draws docs/house.svg from the imports that there are: ``python docs/site/house.py [--check]``.

Top: how data flows. Below: who imports whom, a dot for each pair of rooms, by the walls of the house's test.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
from tests.test_house import ALLOWED, ORDER, imported, modules, room_of  # noqa: E402

PICTURE = ROOT / "docs/house.svg"
FLOW = ("tasks", "sample", "score", "select", "learn", "measure")
PASSES = {
    "tasks": "Task", "sample": "Episode", "score": "Verdict", "select": "Selection", "learn": "TrainState",
    "measure": "a metrics row",
}  # fmt: skip
"""What each room hands on."""
ABOUT = {
    "errors": "one clear line each", "runs": "journal, store, settings, streams",
    "tasks": "where questions come from", "sample": "policies, laws, engines",
    "score": "verifiers, rewards, verdicts", "select": "thresholds, votes, pairs",
    "strategies": "control flows at inference", "learn": "objectives, optimizer, LoRA",
    "measure": "accuracy, intervals, warnings", "verbs": "each a step of the journal",
    "recipes": "one file a paper", "studio": "tables, reports, exports", "cli": "the command's verbs",
    "models": "the shipped models",
}  # fmt: skip
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #222 }
  .room { font-weight: 600 } .small { font-size: 11px; fill: #555 }
  .card { fill: #fff; stroke: #ccc } .box { fill: #eef6f5; stroke: #00897b }
  .wall { fill: none; stroke: #e4e4e4 }
  .dot { fill: #00897b } .self { fill: #cfd8d7 } .arrow { stroke: #00695c; stroke-width: 1.6; fill: none }
"""
WIDTH, BOX, GAP, CELL, LEFT, TOP = 880, 118, 26, 26, 380, 336


def edges() -> set[tuple[str, str]]:
    """(room, imported room) for every import of the package, those inside functions too."""
    found = set()
    for path in modules():
        room = room_of(path)
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "sharpen" and len(parts) > 1 and parts[1] in ABOUT and room in ABOUT:
                found.add((room, parts[1]))
    return {(a, b) for a, b in found if a != b}


def rooms() -> list[str]:
    """From the top of the house down; shipped models stand beside it."""
    return [*reversed(ORDER), *ALLOWED]


def flow() -> list[str]:
    """The six rooms that data passes, and the way back."""
    out = []
    left = (WIDTH - len(FLOW) * BOX - (len(FLOW) - 1) * GAP) // 2
    for i, room in enumerate(FLOW):
        x = left + i * (BOX + GAP)
        out.append(f'<rect class="box" x="{x}" y="112" width="{BOX}" height="52" rx="6"/>')
        out.append(f'<text class="room" x="{x + BOX // 2}" y="134" text-anchor="middle">{room}</text>')
        out.append(
            f'<text class="small" x="{x + BOX // 2}" y="152" text-anchor="middle">{PASSES[room]}</text>'
        )
        if i:
            out.append(f'<path class="arrow" marker-end="url(#head)" d="M{x - GAP} 138 H{x - 4}"/>')
    end = left + len(FLOW) * BOX + (len(FLOW) - 1) * GAP
    back = f"M{end - BOX // 2} 164 V192 H{left + BOX // 2} V168"
    out.append(f'<path class="arrow" marker-end="url(#head)" d="{back}"/>')
    out.append(f'<text class="small" x="{WIDTH // 2}" y="208" text-anchor="middle">next round</text>')
    for y, text in (
        (44, "recipes: the papers, written with verbs"),
        (78, "verbs: each a step, stored once done"),
    ):
        out.append(f'<rect class="box" x="{left}" y="{y - 20}" width="{end - left}" height="28" rx="6"/>')
        out.append(f'<text class="room" x="{WIDTH // 2}" y="{y - 1}" text-anchor="middle">{text}</text>')
    out.append(f'<rect class="box" x="{left}" y="220" width="{end - left}" height="28" rx="6"/>')
    runs = "runs: the journal under all of it; a run is a folder"
    out.append(f'<text class="room" x="{WIDTH // 2}" y="239" text-anchor="middle">{runs}</text>')
    return out


def matrix() -> list[str]:
    """A row a room, a dot for each room that it imports."""
    out = [f'<text class="room" x="{LEFT - 276}" y="{TOP - 16}">Who imports whom</text>']
    names, real = rooms(), edges()
    for j, name in enumerate(names):
        x = LEFT + j * CELL + CELL // 2
        out.append(f'<text class="small" transform="translate({x + 4} {TOP - 6}) rotate(-50)">{name}</text>')
    for i, room in enumerate(names):
        y = TOP + i * CELL
        out.append(f'<text class="room" x="{LEFT - 276}" y="{y + 18}">{room}</text>')
        out.append(f'<text class="small" x="{LEFT - 192}" y="{y + 18}">{ABOUT[room]}</text>')
        for j, other in enumerate(names):
            x = LEFT + j * CELL
            out.append(f'<rect class="wall" x="{x}" y="{y}" width="{CELL}" height="{CELL}"/>')
            kind = "self" if room == other else "dot" if (room, other) in real else ""
            if kind:
                out.append(f'<circle class="{kind}" cx="{x + CELL // 2}" cy="{y + CELL // 2}" r="5"/>')
    return out


def picture() -> str:
    """The whole drawing."""
    height = TOP + len(rooms()) * CELL + 20
    told = "The rooms of the package: data flow, and a matrix of which room imports which."
    head = '<marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{told}</title>",
            f"<style>{STYLE}</style>",
            f'<defs>{head}<path d="M0 0 L8 4 L0 8 z" fill="#00695c"/></marker></defs>',
            f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8"/>',
            *flow(),
            *matrix(),
            "</svg>\n",
        ]
    )


def main() -> int:
    """0 where the picture is up to date, or was written."""
    fresh = picture()
    if "--check" in sys.argv[1:]:
        return int(not PICTURE.exists() or PICTURE.read_text("utf-8") != fresh)
    PICTURE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
