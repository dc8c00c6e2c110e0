"""Write the measured tables into ``docs/performance.md``: ``python benchmarks/speed_tables.py [--check]``.

Reads ``results/*.json``; ``--check`` changes nothing and exits 1 where the page is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "experiments")]

from measuring import HERE, MOST_LOAD, OURS, Json, Summary, figures, rate, ratios, shown, summary  # noqa: E402
from regions import from_result, markdown, read, unmeasured, update  # noqa: E402

RESULTS = HERE / "results"
PAGE = ROOT / "docs" / "performance.md"
KEYS = ("W1", "W1b", "W2", "W3", "W3v", "W4", "W5", "W6", "W7", "W7l", "W8")
APART = ("W6",)
SIDE_BY_SIDE = "make bench"
STUDIES = "make bench-studies"


def span(at: Summary, digits: int = 2) -> str:
    """Median and range."""
    return f"{at.median:,.{digits}f} ({at.low:,.{digits}f} to {at.high:,.{digits}f})"


def conditions(found: Json) -> str:
    """The command, the day and the machine."""
    machine, threads = found["machine"], found["threads"]
    libraries = ", ".join(f"{n} {machine['versions'][n]}" for n in ("torch", "transformers"))
    busy = found["load"] > MOST_LOAD
    noise = f" **The machine was not quiet (load {found['load']} a core).**" if busy else ""
    return (
        f"`{found['command']}`, {found['date']}, {threads} threads a process, {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory_gib']:g} GiB, {libraries}.{noise}"
    )


# side by side -------------------------------------------------------------------------------------
def speed() -> str:
    """Every workload against every peer."""
    heads = [
        "",
        "workload",
        "peer",
        "unit",
        "ours a second",
        "peer a second",
        "ours / peer",
        "wanted",
        "reached",
    ]
    rows: list[list[str]] = []
    told: list[str] = []
    for key in KEYS:
        found = read(RESULTS / f"{key}.json")
        if found is None:
            command = f"python benchmarks/bench.py --only {key}" if key in APART else SIDE_BY_SIDE
            rows.append([key, unmeasured(command), *[""] * 7])
            continue
        rows += [compared(key, found, peer) for peer in found["repeats"][0] if peer != OURS]
        told.append(conditions(found))
    notes = "\n".join(f"- {line}" for line in dict.fromkeys(told))
    return markdown(heads, rows, left=4) + (f"\n\n{notes}" if notes else "")


def compared(key: str, found: Json, peer: str) -> list[str]:
    """One line of the table."""
    runs = found["repeats"]
    ours, theirs = ([r[name] for r in runs] for name in (OURS, peer))
    own, other = (summary([rate(r) for r in side]) for side in (ours, theirs))
    times = summary(ratios(ours, theirs))
    wanted = found["targets"].get(peer)
    reached = "" if wanted is None else "yes" if times.median >= wanted else "**no**"
    return [
        key,
        found["title"],
        peer,
        ours[0]["unit"],
        span(own, figures(own.median)),
        span(other, figures(other.median)),
        f"{span(times)}, n={times.n}",
        "" if wanted is None else f"{wanted:g}",
        reached,
    ]


def memory() -> str:
    """Peak memory of each side."""
    rows = []
    for key in KEYS:
        found = read(RESULTS / f"{key}.json")
        if found is not None:
            rows += [[key, name, f"{mib:,.0f}"] for name, mib in peaks(found).items()]
    return markdown(["", "side", "peak memory, MiB"], rows, left=2) if rows else unmeasured(SIDE_BY_SIDE)


def peaks(found: Json) -> dict[str, float]:
    """Of each side's processes in all repeats, which older files tell one by one."""
    runs = found["repeats"]
    return found.get("peaks") or {name: max(run[name]["peak_mib"] for run in runs) for name in runs[0]}


def parts(key: str) -> str:
    """Shares of our side's time by part, where it tells them."""

    def write(found: Json) -> str:
        runs = [r[OURS]["parts"] for r in found["repeats"]]
        rows = []
        for name in runs[0]:
            at = summary([100 * r[name] / sum(r.values()) for r in runs])
            rows.append([name, span(at, 1)])
        return markdown(["part", "share of our time, %"], rows)

    return from_result(RESULTS / f"{key}.json", SIDE_BY_SIDE, write)


def disagreements(found: Json) -> str:
    """Errors of each side, and where the two verifiers differ."""
    rows = []
    for name in found["repeats"][0]:
        errors = [r[name]["errors"] for r in found["repeats"]]
        total = sum(r[name]["work"]["answers"] for r in found["repeats"])
        sums = {k: sum(e[k] for e in errors) for k in errors[0]}
        rows.append([name, f"{total:,}", *(f"{sums[k]:,}" for k in ("accepted", "refused", "unknown"))])
    table = markdown(["side", "answers", "wrong ones accepted", "right ones refused", "no verdict"], rows)
    differ = found["disagreements"]
    shown = [
        [f"`{g}`", f"`{a}`", "yes" if equal else "no", verdict(ours), verdict(theirs)]
        for g, a, equal, ours, theirs in differ[:10]
    ]
    told = f"{len(differ):,} answers are judged differently"
    if not shown:
        return f"{table}\n\n{told}."
    listed = markdown(["gold", "answer", "equal", "ours", "theirs"], shown, left=5)
    return f"{table}\n\n{told}; the result file has all of them, these are the first:\n\n{listed}"


def verdict(mark: str) -> str:
    """A verdict in words."""
    return {"1": "right", "0": "wrong", "?": "none"}[mark]


# ours alone ---------------------------------------------------------------------------------------
AIMS = {"sampling": 50, "learning": 80}
"""Per cent of the ceiling."""


def roofline(found: Json) -> str:
    """Shares of the measured ceiling."""
    rows = []
    for part, aim in AIMS.items():
        own = [r[part] for r in found["repeats"]]
        share = summary([100 * r["share"] for r in own])
        rows.append(
            [
                part,
                span(summary([r["tokens_per_second"] for r in own]), 0),
                span(summary([r["gflops"] for r in own]), 1),
                span(share, 1),
                f"{aim}",
                "yes" if share.median >= aim else "**no**",
            ]
        )
    best = span(summary([r["ceiling"] for r in found["repeats"]]), 0)
    heads = ["", "tokens a second", "GFLOPS", "share of the ceiling, %", "aim, %", "reached"]
    told = f"{markdown(heads, rows)}\n\nThe ceiling: {best} GFLOPS. {conditions(found)}"
    grpo = read(RESULTS / "W2.json")
    return told if grpo is None else f"{told} {at_aims(found, grpo)}"


def at_aims(found: Json, grpo: Json) -> str:
    """What W2's ratios would be where each part of our time shrank as its share grows to the aim."""
    shares = {part: 100 * summary([r[part]["share"] for r in found["repeats"]]).median for part in AIMS}
    less = {verb: shares[part] / AIMS[part] for verb, part in (("sample", "sampling"), ("learn", "learning"))}
    would = []
    for name in grpo["targets"]:
        times = []
        for run in grpo["repeats"]:
            seconds = sum(less.get(part, 1.0) * s for part, s in run[OURS]["parts"].items())
            times.append(rate({**run[OURS], "seconds": seconds}) / rate(run[name]))
        would.append(f"{summary(times).median:.1f} times {name}")
    return f"With both at their aims, W2 would be {' and '.join(would)}."


def where(found: Json) -> str:
    """What our time goes to, and the rate that its products alone would have."""
    rows = []
    for key, run in found["where"].items():
        whole, alone = run["all"], run["one"]
        shares = [f"{100 * run['shares'][kind]:.0f}" for kind in ("weights", "attention", "others", "python")]
        products = alone["profile"]["weights"] / found["threads"]
        busy = f"{whole['cpu_seconds'] / whole['seconds']:.2f}"
        rows.append(
            [
                key,
                busy,
                *shares,
                f"{rate(whole):,.0f}",
                f"{alone['work']['tokens'] / products:,.0f}",
                needed(key),
            ]
        )
    heads = [
        "",
        "cores busy",
        "products with weights, %",
        "attention, %",
        "other operations, %",
        "Python, %",
        "tokens a second",
        "of products alone",
        "wanted",
    ]
    return f"{markdown(heads, rows)}\n\n{conditions(found)}"


def needed(key: str) -> str:
    """The rate at which every wanted ratio of a workload would be reached, and the peer that asks for it."""
    found = read(RESULTS / f"{key}.json")
    if found is None:
        return ""
    runs = found["repeats"]
    rates = {
        peer: target * summary([rate(r[peer]) for r in runs]).median
        for peer, target in found["targets"].items()
    }
    most = max(rates, key=lambda peer: rates[peer])
    return f"{rates[most]:,.0f} ({found['targets'][most]:g} x {most})"


def techniques(found: Json) -> str:
    """Each alone, on against off."""
    rows = []
    for name, run in found["techniques"].items():
        gain = summary([b / a for a, b in zip(run["on"], run["off"], strict=True)])
        differ = run["largest_difference"]
        same = "the same bits" if differ == 0 else f"within {differ:.1g}"
        rows.append([name, span(gain), same if run["kept"] else f"**differ by {differ:.1g}**"])
    return f"{markdown(['technique', 'times as fast as without', 'results'], rows)}\n\n{conditions(found)}"


def growth(found: Json) -> str:
    """Seconds, memory and the exponent along each axis."""
    rows = []
    for name, axis in found["growth"].items():
        kind, _, along = name.partition("/")
        sizes = ", ".join(f"{p['size']:,}" for p in axis["points"])
        seconds = ", ".join(f"{p['seconds']:.2f}" for p in axis["points"])
        peaks = ", ".join(f"{p['peak_mib']:,.0f}" for p in axis["points"])
        rows.append([kind, along, sizes, seconds, peaks, f"{axis['exponent']:.2f}"])
    heads = ["", "along", "sizes", "seconds", "peak MiB", "exponent"]
    return f"{markdown(heads, rows, left=2)}\n\n{conditions(found)}"


def million(found: Json) -> str:
    """Reading a large run."""
    rows = []
    for what, most in found["limits"].items():
        at = summary([r["seconds"] for r in found[what]])
        peak = max(r["peak_mib"] for r in found[what])
        rows.append([what, span(at), f"{most:g}", f"{peak:,.0f}", "yes" if at.high <= most else "**no**"])
    heads = ["", "seconds", "at most", "peak MiB", "kept"]
    reads = max(r["token_reads"] for r in found["replay"])
    told = f"{found['rollouts']:,} rollouts; the replay read columns of tokens {reads} times."
    return f"{markdown(heads, rows)}\n\n{told} {conditions(found)}"


def startup(found: Json) -> str:
    """What is waited for."""
    rows = []
    for name, seconds in found["commands"].items():
        at, most = summary(seconds), found["limits"].get(name)
        kept = "" if most is None else "yes" if at.median <= most else "**no**"
        rows.append([f"`{name}`", span(at), "" if most is None else f"{most:g}", kept])
    return f"{markdown(['', 'seconds', 'at most', 'kept'], rows)}\n\n{conditions(found)}"


def ledger(found: Json) -> str:
    """Where a default run's time goes, on each side."""
    sides = [side for side, run in found["repeats"][0].items() if "ledger" in run]
    runs = {side: [r[side] for r in found["repeats"]] for side in sides}
    first = [runs[side][0]["ledger"] for side in sides]
    verbs = sorted({v for told in first for v in told}, key=lambda v: -max(t.get(v, 0.0) for t in first))
    spent = {
        side: {v: [r["ledger"].get(v, 0.0) for r in runs[side]] for v in verbs}
        | {"start, imports, the rest": [r["seconds"] - sum(r["ledger"].values()) for r in runs[side]]}
        for side in sides
    }
    shares = {
        v: [100 * s / r["seconds"] for s, r in zip(x, runs[OURS], strict=True)]
        for v, x in spent[OURS].items()
    }
    rows = [
        [verb, *(span(summary(spent[side][verb]), 1) for side in sides), span(summary(share), 1)]
        for verb, share in shares.items()
    ]
    heads = [f"{'ours' if side == OURS else side}, seconds" for side in sides]
    return markdown(["", *heads, "of ours, %"], rows)


def tuning() -> str:
    """What the peers' choices gave."""
    rows: list[list[str]] = []
    told: list[str] = []
    for key in KEYS:
        found = read(RESULTS / f"tuning-{key}.json")
        if found is not None:
            rows += choices(found)
            told.append(f"- {conditions(found)}")
    if not rows:
        return unmeasured("python benchmarks/bench.py --tune")
    return "\n".join([markdown(["", "peer", "choice", "rate", ""], rows, left=3), "", *dict.fromkeys(told)])


def choices(found: Json) -> list[list[str]]:
    """The lines of one workload's peers."""
    return [
        [
            row["workload"],
            row["peer"],
            ", ".join(f"{k}={v}" for k, v in row["choice"].items()),
            f"{shown(row['rate'])} {row['unit']}/s",
            "taken" if found["best"][label] == row["choice"] else "",
        ]
        for label, table in found["table"].items()
        for row in table
    ]


def soak(found: Json) -> str:
    """Whether anything leaked."""
    flat = "flat" if found["flat"] else "**growing**"
    files = "constant" if found["constant"] else "**not constant**"
    used = found["in_use_kib_a_step"]
    in_use = "" if used is None else f"; what the allocator has given out grows by {used:.1f} KiB a step"
    return (
        f"{found['steps']} steps: memory is {flat} ({found['mib_a_step']:+.4f} MiB a step over the second "
        f"half, noise {found['noise']:.4f}{in_use}), the number of open files {files} "
        f"({', '.join(map(str, found['files']))}). "
        f"{conditions(found)}"
    )


def alone(name: str, write: Callable[[Json], str], command: str = STUDIES) -> Callable[[], str]:
    """A region that one result file fills."""
    return lambda: from_result(RESULTS / f"{name}.json", command, write)


REGIONS: dict[str, Callable[[], str]] = {
    "speed": speed,
    "memory": memory,
    "grpo-parts": partial(parts, "W2"),
    "dpo-parts": partial(parts, "W5"),
    "numeric": alone("W7", disagreements, SIDE_BY_SIDE),
    "latex": alone("W7l", disagreements, SIDE_BY_SIDE),
    "roofline": alone("roofline", roofline),
    "where": alone("where", where),
    "techniques": alone("techniques", techniques),
    "growth": alone("growth", growth),
    "million": alone("million", million),
    "startup": alone("startup", startup),
    "ledger": alone("W6", ledger, "python benchmarks/bench.py --only W6"),
    "tuning": tuning,
    "soak": alone("soak", soak, "python benchmarks/soak.py"),
}


def region(name: str) -> str:
    """A region's text."""
    return REGIONS[name]()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    args = parser.parse_args(argv)
    same = update(PAGE, region, check=args.check)
    print(f"{PAGE.relative_to(ROOT)}: {'up to date' if same else 'out of date' if args.check else 'written'}")
    return 1 if args.check and not same else 0


if __name__ == "__main__":
    raise SystemExit(main())
