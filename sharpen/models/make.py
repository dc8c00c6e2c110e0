"""Make a shipped base model: ``python -m sharpen.models.make nano --out DIR``.

A plain loop, on purpose apart from the learner: what ships should be readable in one go. On one CPU
core a base takes about an hour (its card states the time measured); ``--device cuda`` works too
but gives other bits, and the shipped weights are the CPU's.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sharpen.models.checks import Checks
from sharpen.models.corpus import END, NANO, NANO_B, Corpus, Sample
from sharpen.models.machines import Machines
from sharpen.models.names import shipped
from sharpen.models.roles import NANO_2, NANO_JUDGE, Roles
from sharpen.runs.streams import stream

PAD = "<|pad|>"
UNKNOWN = "<|unk|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
WORDS = ("Answer: ", "<think>", "</think>", "<tool>", "</tool>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' and not loop.last %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CHUNK = 8  # batches drawn together and sorted by length


class Shape(NamedTuple):
    """Sizes of a model."""

    hidden: int
    mlp: int
    layers: int
    heads: int


SMALL = Shape(128, 384, 4, 4)
"""About 0.9 million parameters."""
LARGER = Shape(160, 480, 4, 5)
"""About 1.4 million parameters."""


def by_reply(sample: Sample) -> int:
    """A sample's length where questions are about equally long."""
    return len(sample.completion)


def by_text(sample: Sample) -> int:
    """A sample's length, prompt and reply."""
    return len(sample.prompt) + len(sample.completion)


class Base(NamedTuple):
    """What makes a base: its corpus, its shape, and how many steps of ``batch`` texts it is trained for.

    ``start``: the shipped base whose weights it begins with, at a third of the rate; none: random weights.
    ``verdicts``: weight of the token that says whether a judged line is right; it is one of twenty.
    ``prompt_weight``: of a prompt's tokens. Prompts are random numbers: learn their form, do not spend the
    model on them. ``length``: what texts of one batch have about equal, so that little is padding.
    """

    corpus: Callable[[], Corpus | Checks | Machines | Roles]
    shape: Shape = SMALL
    steps: int = 1600
    prompt_weight: float = 0.1
    length: Callable[[Sample], int] = by_reply
    start: str = ""
    batch: int = 128
    verdicts: float = 1.0


BASES = {
    "nano": Base(lambda: Corpus(NANO)),
    "nano-b": Base(lambda: Corpus(NANO_B)),
    "nano-2": Base(lambda: Roles(NANO_2), LARGER, 2000, 0.03, by_text),
    "nano-judge": Base(lambda: Roles(NANO_JUDGE), LARGER, 600, 0.03, by_text, "nano-2", 64, 8.0),
    "checks": Base(Checks),
    "machines": Base(Machines, LARGER, 300, 0.1, by_text, "nano-2", 32),
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Printable ASCII one token a character, with a few whole words and roles."""
    characters = ["\n", *map(chr, range(32, 127))]
    vocabulary = {t: i for i, t in enumerate([PAD, END, UNKNOWN, *ROLES, *characters])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")  # type: ignore[assignment]
    raw.decoder = decoders.Fuse()  # type: ignore[assignment]
    raw.add_special_tokens([PAD, END, UNKNOWN, *ROLES])
    raw.add_tokens(list(WORDS))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(vocabulary: int, seed: int, shape: Shape = SMALL) -> LlamaForCausalLM:
    """A Llama shape, initialised from ``seed``."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=shape.hidden, intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads, max_position_embeddings=1024,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def tensors(
    samples: list[Sample], tokenizer: PreTrainedTokenizerFast, prompt_weight: float, verdicts: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids ``(B, T)`` padded on the right, and the weight of each id as a target."""
    ids = tokenizer([s.prompt + s.completion for s in samples])["input_ids"]
    prompts = [len(p) for p in tokenizer([s.prompt for s in samples])["input_ids"]]
    longest = max(map(len, ids))
    batch = torch.zeros(len(ids), longest, dtype=torch.long)
    weight = torch.zeros(len(ids), longest)
    for i, (row, p) in enumerate(zip(ids, prompts, strict=True)):
        batch[i, : len(row)] = torch.tensor(row)
        weight[i, :p] = prompt_weight
        weight[i, p : len(row)] = 1.0
        if verdicts != 1 and samples[i].prompt.startswith("judge "):
            # a judgment's only words are yes and no
            said = torch.isin(
                batch[i, p : len(row)], torch.tensor(tokenizer.convert_tokens_to_ids(["y", "n"]))
            )
            weight[i, p : len(row)][said] = verdicts
    return batch, weight


def rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Learning rate: linear warm-up, then a cosine down to a tenth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def train(name: str, out: Path, args: argparse.Namespace) -> None:
    """Train ``name``'s mixture and save to ``out`` (and to ``out-<step>`` every ``save_every``)."""
    torch.set_num_threads(args.threads)
    base, tokenizer = BASES[name], make_tokenizer()
    corpus, steps, batch = base.corpus(), args.steps or base.steps, args.batch or base.batch
    model = make_model(len(tokenizer), args.seed, base.shape).to(args.device)
    if base.start:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(shipped()[base.start]).state_dict())
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    peak = args.lr / 3 if base.start else args.lr
    began, seen, waiting = time.perf_counter(), 0, []
    for step in range(steps):
        if not waiting:
            rng = stream("models", name, args.seed, step).generator()
            drawn = sorted((corpus.sample(rng) for _ in range(batch * CHUNK)), key=base.length)
            cuts = [drawn[i * batch : (i + 1) * batch] for i in range(CHUNK)]
            waiting = [cuts[int(i)] for i in rng.permutation(CHUNK)]
        ids, weight = (
            t.to(args.device) for t in tensors(waiting.pop(), tokenizer, base.prompt_weight, base.verdicts)
        )
        logits = model(input_ids=ids[:, :-1]).logits.float()
        losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        w = weight[:, 1:].flatten()
        loss = (losses * w).sum() / w.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, peak)
        optimizer.step()
        seen += int((weight > 0).sum())
        if step % 50 == 49:
            print(
                f"step {step + 1} loss {loss.item():.4f} tokens {seen} {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        if args.save_every and (step + 1) % args.save_every == 0 and step + 1 < steps:
            save(model, tokenizer, Path(f"{out}-{step + 1}"))
    save(model, tokenizer, out)
    made = {
        "mixture": name,
        "seed": args.seed,
        "steps": steps,
        "batch": batch,
        "lr": peak,
        "tokens": seen,
        "device": args.device,
        **({"start": base.start} if base.start else {}),
    }
    (out / "made.json").write_text(json.dumps(made, indent=1) + "\n")


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the Hugging Face layout."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(BASES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=0, help="0: as many as the base states")
    parser.add_argument("--batch", type=int, default=0, help="0: as many texts as the base states")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    train(args.name, args.out, args)


if __name__ == "__main__":
    main()
