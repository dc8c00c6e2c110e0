"""W1 to W5 on a GPU, in bfloat16, with random models of 100M and 1B parameters: ``python benchmarks/gpu.py``.

The peers are those of the CPU, told another device and dtype. Our side runs where the native engine can: it
computes on the CPU in float32 so far, so on a GPU its rows say "not yet" and the peers are measured alone,
which gives the numbers to beat. ``--device cpu --smoke`` proves the script without a card. Results go to
``results/gpu-NAME.json`` with the card's name; tokens a second are also given as a share of what the card's
memory could deliver if every step read all weights once (``--bandwidth``, in GB/s).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "experiments")]

import inputs  # noqa: E402
import w1_rollouts  # noqa: E402
import w2_grpo  # noqa: E402
import w3_signals  # noqa: E402
import w4_sft  # noqa: E402
import w5_dpo  # noqa: E402
from bench import RESULTS, head  # noqa: E402
from measuring import OURS, Broken, Json, Side, in_turns, load, once, rate, same_work  # noqa: E402
from workload import Workload  # noqa: E402

VOCABULARY = 32_768
SHAPES = {
    "100m": {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12,
        "intermediate_size": 2048,
    },
    "1b": {
        "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 16, "num_key_value_heads": 16,
        "intermediate_size": 5632,
    },
}  # fmt: skip
WORKLOADS = {
    w.key: w for w in (w1_rollouts.W1, w1_rollouts.W1B, w2_grpo.W2, w3_signals.W3, w4_sft.W4, w5_dpo.W5)
}
TARGETS = {"W1": 8.0, "W2": 2.0}
DEVICES = ("cpu",)
"""Where the native engine and the learner compute."""


def model(name: str, smoke: bool) -> str:
    """The folder of a random model."""
    if smoke:
        return str(inputs.model("smoke", inputs.SMOKE))
    shape = {**inputs.SMALL, **SHAPES[name]}
    return str(inputs.model(name, shape, vocabulary=VOCABULARY))


def sides(workload: Workload, device: str) -> list[Side]:
    """Those that can run there; a peer takes its largest batch."""
    found = []
    for side in workload.sides:
        if side.venv == OURS and device not in DEVICES:
            told = f"not yet: computes on {', '.join(DEVICES)} alone"
            print(f"{workload.key:>5} {side.name:<28} {told}", flush=True)
        elif side.venv != "vllm":  # the CPU build is another program
            # of equal ones the last, in which TRL groups by length
            largest = max(
                reversed(side.tuned), key=lambda c: c.get("batch") or c.get("rows") or 0, default={}
            )
            found.append(replace(side, settings={**side.settings, **largest}, tuned=()))
    return found


def measured(workload: Workload, name: str, args: argparse.Namespace) -> Json:
    """All sides that can, in turns."""
    chosen = sides(workload, args.device)
    repeats = 1 if args.smoke else args.repeats
    runs: list[dict[str, Json]] = [{} for _ in range(repeats)]
    dtype = "float32" if args.device == "cpu" else "bfloat16"
    for k, side in in_turns(chosen, repeats):
        job = {**workload.job(args.smoke, k, repeats), "model": model(name, args.smoke)}
        job |= {"device": args.device, "dtype": dtype}
        run = once(side, job, threads=args.threads)
        runs[k][side.name] = run
        told = f"{rate(run):12,.1f} {run['unit']}/s"
        print(f"{workload.key:>5} {name} {k + 1}/{repeats} {side.name:<28}{told}", flush=True)
        if len(runs[k]) == len(chosen):
            same_work(runs[k], workload.same)
    wanted = TARGETS.get(workload.key)
    targets = {p.name: wanted for p in workload.peers} if wanted else {}
    found: Json = {"title": workload.title, "targets": targets, "repeats": runs}
    if args.bandwidth and workload.key.startswith("W1"):
        found["limit"] = limit(model(name, args.smoke), runs[0], args.bandwidth, dtype)
    return found


def limit(folder: str, run: dict[str, Json], bandwidth: float, dtype: str) -> dict[str, float]:
    """Each side's share of the tokens a second that memory allows: all weights once a step, for all rows."""
    size = sum(f.stat().st_size for f in Path(folder).glob("*.safetensors"))
    weights = size / (1 if dtype == "float32" else 2)
    found = {}
    for name, side in run.items():
        steps = bandwidth * 1e9 / weights
        found[name] = rate(side) / (steps * side["work"]["completions"])
    return found


def card(device: str) -> str:
    """The card's name."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="100m,1b")
    parser.add_argument("--only", default=",".join(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--bandwidth", type=float, default=0.0, help="of the card's memory, GB/s")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once, nothing kept")
    args = parser.parse_args(argv)
    found: dict[str, Any] = {}
    busy = load()
    try:
        for name in args.models.split(","):
            for key in args.only.split(","):
                found[f"{key}/{name}"] = measured(WORKLOADS[key], name, args)
    except Broken as problem:
        print(f"gpu: {problem}", file=sys.stderr)
        return 2
    if not args.smoke:
        named = card(args.device)
        told = {**head("python benchmarks/gpu.py", args.threads, busy), "card": named, "workloads": found}
        path = RESULTS / f"gpu-{named.lower().replace(' ', '-')}.json"
        path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
