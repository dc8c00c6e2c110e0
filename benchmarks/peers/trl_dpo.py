"""TRL's ``DPOTrainer``: one pass, AdamW, float32, beta 0.1, sigmoid loss; the reference runs beside the
policy.

``rows`` pairs a forward pass, the rest of an update by gradient accumulation. Its padding-free mode is
switched off in this version.
"""

import tempfile
from typing import Any

import side
import trl_settings
from datasets import Dataset
from trl import DPOConfig, DPOTrainer


def built(job: dict[str, Any], folder: str) -> tuple[DPOTrainer, trl_settings.Updates]:
    """A trainer; texts are encoded here, outside the clock."""
    tokenizer = trl_settings.tokenizer(job)
    # TRL adds the end token to answers itself
    texts = {
        "prompt": [tokenizer.decode(p["prompt"]) for p in job["pairs"]],
        "chosen": [tokenizer.decode(p["chosen"][:-1]) for p in job["pairs"]],
        "rejected": [tokenizer.decode(p["rejected"][:-1]) for p in job["pairs"]],
    }
    update = job["batch_rows"] // 2
    rows = trl_settings.rows_a_pass(job, update)
    config = DPOConfig(
        **trl_settings.shared(job, folder),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=update // rows,
        num_train_epochs=1,
        max_length=None,
        beta=0.1,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=False,
    )
    updates = trl_settings.Updates()
    trainer = DPOTrainer(
        model=trl_settings.model(job),
        ref_model=trl_settings.model(job),
        args=config,
        train_dataset=Dataset.from_dict(texts),
        processing_class=tokenizer,
        callbacks=[updates],
    )
    return trainer, updates


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Warm up on a few pairs, time one pass."""
    with tempfile.TemporaryDirectory() as folder:
        built({**job, "pairs": job["pairs"][:2], "batch_rows": 4}, folder)[0].train()
        trainer, updates = built(job, folder)
        held = trainer.train_dataset
        answers = sum(len(ids) for name in ("chosen_ids", "rejected_ids") for ids in held[name])
        prompts = 2 * sum(map(len, held["prompt_ids"]))
        clock = side.Clock()
        trainer.train()
        spent = clock.read()
    work = {
        "pairs": len(held),
        "tokens": prompts + answers,
        "answer_tokens": answers,
        "updates": updates.made,
    }
    return {**spent, "unit": "tokens", "work": work}


if __name__ == "__main__":
    side.run(main)
