"""TRL's ``SFTTrainer`` on examples that are ids already: one pass, AdamW, float32, all tokens learnt.

Padded: ``rows`` examples a forward pass, the rest of an update by gradient accumulation, shuffled or grouped
by length (``order``). Packed: best-fit-decreasing packs of 1,024 tokens that do not see each other, ``rows``
packs a pass, as many an update as hold the same number of tokens. Its ``wrapped`` packs, in which examples
see their neighbours, learn something else and are not measured.
"""

import tempfile
from typing import Any

import side
import trl_settings
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

PACK = 1024


def built(job: dict[str, Any], folder: str) -> tuple[SFTTrainer, trl_settings.Updates]:
    """A trainer; tokens are prepared and packed here, outside the clock."""
    n, tokens = len(job["examples"]), sum(map(len, job["examples"]))
    if job["packing"]:
        packs = max(1, round(tokens * job["batch_rows"] / n / PACK))  # packs an update
        rows = min(job["rows"], packs)
        more = {"packing": True, "packing_strategy": "bfd", "max_length": PACK}
        more |= {"gradient_accumulation_steps": max(1, round(packs / rows))}
    else:
        rows = trl_settings.rows_a_pass(job, job["batch_rows"])
        more = {"packing": False, "max_length": None, "train_sampling_strategy": job["order"]}
        more |= {"gradient_accumulation_steps": job["batch_rows"] // rows}
    settings = trl_settings.shared(job, folder)
    config = SFTConfig(**settings, per_device_train_batch_size=rows, num_train_epochs=1, **more)
    updates = trl_settings.Updates()
    trainer = SFTTrainer(
        model=trl_settings.model(job),
        args=config,
        train_dataset=Dataset.from_dict({"input_ids": job["examples"]}),
        processing_class=trl_settings.tokenizer(job),
        callbacks=[updates],
    )
    return trainer, updates


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Warm up on a few examples, time one pass."""
    with tempfile.TemporaryDirectory() as folder:
        built({**job, "examples": job["examples"][:4], "batch_rows": 4}, folder)[0].train()
        trainer, updates = built(job, folder)
        held = trainer.train_dataset
        packed = "seq_lengths" in held.column_names
        examples = sum(map(len, held["seq_lengths"])) if packed else len(held)
        tokens = sum(map(len, held["input_ids"]))
        clock = side.Clock()
        trainer.train()
        spent = clock.read()
    work = {"examples": examples, "tokens": tokens, "updates": updates.made}
    return {**spent, "unit": "tokens", "work": work}


if __name__ == "__main__":
    side.run(main)
