"""B-STaR as a plain script would have it: ``transformers`` samples, ``peft`` and torch learn, lists hold the
rest.

Questions and their checkers are Sharpen's, since those are the task; everything else is written here as one
would without it: no journal, nothing stored, no signals. Settings: ``batch`` sequences sampled at a time,
``cache`` of ``generate``, ``pack`` tokens of a packed row (0: padded batches).
"""

import contextlib
import math
import random
import time
from collections.abc import Iterator
from typing import Any

import generate
import peft
import side
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.tasks.registry import make


class Answer:
    """A sampled answer: its question, ids (end token included), text, verdict and reward."""

    def __init__(self, task: Any, prompt: list[int], ids: list[int], text: str, source: Any) -> None:
        self.task, self.prompt, self.ids, self.text = task, prompt, ids, text
        self.correct = source.verify(task, text).correct
        self.reward = 0.0


class Script:
    """The model, the tokenizer and the settings."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.config = job, job["config"]
        torch.manual_seed(job["seed"])
        self.random = random.Random(job["seed"])
        self.tokenizer = AutoTokenizer.from_pretrained(job["model"])
        base = AutoModelForCausalLM.from_pretrained(
            job["model"], dtype=torch.float32, attn_implementation="sdpa"
        )
        lora = self.config["lora"]
        settings = peft.LoraConfig(
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            target_modules="all-linear",
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        self.model = peft.get_peft_model(base, settings)
        self.source = make(self.config["tasks"])
        self.ends = base.generation_config.eos_token_id
        self.ends = self.ends if isinstance(self.ends, list) else [self.ends]
        weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=0.0)
        self.updates = 0
        self.done = {"runs": 1, "answers": 0, "tokens": 0, "updates": 0, "rows": 0}
        self.spent: dict[str, float] = {}
        self.where = ""

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Adds the seconds inside to a part of the ledger."""
        begun, name = time.perf_counter(), part + self.where
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - begun

    # sampling ---------------------------------------------------------------------------------
    @torch.inference_mode()
    def answers(self, tasks: list[Any], n: int, temperature: float) -> list[Answer]:
        """``n`` answers to each question, the adapter merged while sampling."""
        with self.timed("sample"):
            given, sampled = self._sampled(tasks, n, temperature)
        with self.timed("score"):
            texts = [
                self.tokenizer.decode(self._body(ids), clean_up_tokenization_spaces=False) for ids in sampled
            ]
            found = [
                Answer(*g, ids, text, self.source) for g, ids, text in zip(given, sampled, texts, strict=True)
            ]
        self.done["answers"] += len(found)
        self.done["tokens"] += sum(len(a.ids) for a in found)
        return found

    def _body(self, ids: list[int]) -> list[int]:
        return ids[:-1] if ids and ids[-1] in self.ends else ids

    def _sampled(
        self, tasks: list[Any], n: int, temperature: float
    ) -> tuple[list[tuple[Any, list[int]]], list[list[int]]]:
        """Each question with its prompt, ``n`` times, and the ids sampled for it."""
        self.model.merge_adapter()
        self.model.eval()
        given = [(t, self.tokenizer(t.prompt)["input_ids"]) for t in tasks for _ in range(n)]
        order = sorted(range(len(given)), key=lambda i: len(given[i][1]))
        sampled: list[list[int]] = [[]] * len(given)
        size = self.job["batch"]
        for at in range(0, len(order), size):
            part = order[at : at + size]
            for i, ids in zip(part, self._batch([given[i][1] for i in part], temperature), strict=True):
                sampled[i] = ids
        self.model.unmerge_adapter()
        return given, sampled

    def _batch(self, prompts: list[list[int]], temperature: float) -> list[list[int]]:
        pad, width = self.tokenizer.pad_token_id, max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        law = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        out = self.model.base_model.model.generate(
            ids,
            attention_mask=seen,
            max_new_tokens=self.config["max_new_tokens"],
            eos_token_id=self.ends,
            pad_token_id=pad,
            cache_implementation=None if self.job["cache"] == "default" else self.job["cache"],
            **(law if temperature else {"do_sample": False}),
        )
        return [generate.cut(row, self.ends) for row in out[:, width:].tolist()]

    # the recipe -------------------------------------------------------------------------------
    def judge(self, answers: list[Answer]) -> list[Answer]:
        """Correctness plus the noisy step check."""
        with self.timed("score"):
            for a in answers:
                steps = self.source.steps(a.task, a.text)
                valid = 1.0 if steps and all(steps) else -1.0
                valid = -valid if self.random.random() < self.config["flip"] else valid
                noisy = min(max(valid + self.random.gauss(0.0, self.config["noise"]), -1.0), 1.0)
                a.reward = float(a.correct) + (noisy if a.ids[-1] in self.ends else -1.0)
        return answers

    def chosen(self, answers: list[Answer], threshold: float, queries: int) -> list[Answer]:
        """Those above the threshold, best first, at most m a question: the smallest m that gives enough."""
        wanted = -(-self.config["selected"] * queries // self.config["queries"])
        ranked: dict[str, list[Answer]] = {}
        for a in answers:
            if a.reward > threshold and self.source.has_answer(a.text):
                ranked.setdefault(a.task.id, []).append(a)
        for group in ranked.values():
            group.sort(key=lambda a: -a.reward)
        kept: list[Answer] = []
        for m in range(1, 66):
            kept = [a for g in ranked.values() for a in {a.text: a for a in reversed(g[:m])}.values()]
            if len(kept) >= wanted:
                break
        return kept

    def balanced(self, tasks: list[Any]) -> tuple[float, float]:
        """The temperature and threshold of the highest balance score."""
        target = -(-self.config["selected"] // self.config["queries"])
        best = (-1.0, 1.0, 0.0)
        for temperature in self.config["temperatures"]:
            drawn = self.judge(self.answers(tasks, self.config["samples"], temperature))
            for threshold in self.config["thresholds"]:
                scores = []
                held = self.chosen(drawn, threshold, len(tasks))
                for task in tasks:
                    own = [a for a in held if a.task.id == task.id]
                    right = len({a.text.strip() for a in own if a.correct})
                    scores.append(min(right / target, 1.0) * right / len(own) if own else 0.0)
                found = sum(scores) / len(scores)
                if found > best[0]:
                    best = (found, temperature, threshold)
        return best[1], best[2]

    def exam(self, tasks: list[Any]) -> float:
        """Greedy accuracy; some questions are also answered at temperature 1."""
        self.where = " (held out)"
        greedy = self.answers(tasks, 1, 0.0)
        some = tasks[: min(self.config["held_out"], self.config["held_out_sampled"])]
        self.answers(some, self.config["held_out_samples"], 1.0)
        self.where = ""
        return sum(a.correct for a in greedy) / len(greedy)

    # learning ---------------------------------------------------------------------------------
    def learn(self, rows: list[Answer]) -> None:
        """The round's updates, in epochs over the rows."""
        self.model.train()
        order: list[int] = []
        for _ in range(self.config["steps"]):
            while len(order) < self.config["batch_rows"]:
                order += self.random.sample(range(len(rows)), len(rows))
            batch = [rows[order.pop(0)] for _ in range(self.config["batch_rows"])]
            self._update(batch)

    def _update(self, batch: list[Answer]) -> None:
        total = sum(len(a.ids) for a in batch)
        for part in self._parts(batch):
            ids, positions, seen, labels = padded(part) if not self.job["pack"] else packed(part)
            logits = self.model(ids, position_ids=positions, attention_mask=seen, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum"
            )
            (loss / total).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config["optimizer"]["clip"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.updates, self.config["optimizer"])
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.updates += 1
        self.done["updates"] += 1
        self.done["rows"] += len(batch)

    def _parts(self, batch: list[Answer]) -> list[list[Answer]]:
        """Micro-batches: packs of at most so many tokens, or all rows at once where they are padded."""
        if not self.job["pack"]:
            return [batch]
        parts: list[list[Answer]] = []
        room = 0
        for a in sorted(batch, key=lambda a: -len(a.prompt) - len(a.ids)):
            n = len(a.prompt) + len(a.ids)
            if not parts or n > room:
                parts.append([])
                room = self.job["pack"]
            parts[-1].append(a)
            room -= n
        return parts


def packed(rows: list[Answer]) -> tuple[torch.Tensor, torch.Tensor, None, torch.Tensor]:
    """One row of all; ``transformers`` sees from the positions where one ends and the next begins."""
    ids = [t for a in rows for t in (*a.prompt, *a.ids)]
    positions = [p for a in rows for p in range(len(a.prompt) + len(a.ids))]
    labels = [t for a in rows for t in (*[-100] * len(a.prompt), *a.ids)]
    return torch.tensor([ids]), torch.tensor([positions]), None, torch.tensor([labels])


def padded(rows: list[Answer]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows padded on the right."""
    width = max(len(a.prompt) + len(a.ids) for a in rows)
    lengths = [len(a.prompt) + len(a.ids) for a in rows]
    ids = [[*a.prompt, *a.ids, *[0] * (width - n)] for a, n in zip(rows, lengths, strict=True)]
    labels = [
        [*[-100] * len(a.prompt), *a.ids, *[-100] * (width - n)] for a, n in zip(rows, lengths, strict=True)
    ]
    seen = [[1] * n + [0] * (width - n) for n in lengths]
    positions = torch.arange(width).expand(len(rows), -1)
    return torch.tensor(ids), positions, torch.tensor(seen), torch.tensor(labels)


def rate(position: int, o: dict[str, Any]) -> float:
    """A warm-up, then a straight fall to the floor."""
    if position < o["warmup_steps"]:
        return o["lr"] * (position + 1) / o["warmup_steps"]
    past = (position - o["warmup_steps"]) / max(1, o["total_steps"] - o["warmup_steps"])
    return o["lr"] + (o["min_lr"] - o["lr"]) * min(past, 1.0)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The loop."""
    script, config = Script(job), job["config"]
    pool = script.source.take("train", config["pool"])
    held_out = script.source.take(config["held_out_split"], config["held_out"])
    scores, order = [script.exam(held_out)], []
    for _ in range(config["rounds"]):
        temperature, threshold = script.balanced(pool[: config["monitored"]])
        while len(order) < config["queries"]:
            order += script.random.sample(pool, len(pool))
        asked, order = order[: config["queries"]], order[config["queries"] :]
        drawn = script.judge(script.answers(asked, config["samples"], temperature))
        rows = script.chosen(drawn, threshold, len(asked))
        if rows:
            with script.timed("learn"):
                script.learn(rows)
        scores.append(script.exam(held_out))
    assert all(math.isfinite(s) for s in scores)
    work = {**script.done, "base": scores[0], "final": scores[-1]}
    ledger = {part: round(seconds, 3) for part, seconds in script.spent.items()}
    return {**side.since_start(), "unit": "runs", "work": work, "ledger": ledger}


if __name__ == "__main__":
    side.run(main)
