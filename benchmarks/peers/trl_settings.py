"""What all of TRL's trainers are told here: plain AdamW, float32, nothing saved, nothing reported.

Gradient checkpointing, which TRL switches on unasked, is off: it would cost a second forward pass.
"""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback


class Updates(TrainerCallback):
    """Counts optimizer steps."""

    def __init__(self) -> None:
        self.made = 0

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """One more."""
        self.made += 1


def shared(job: dict[str, Any], folder: str) -> dict[str, Any]:
    """Settings of ``TrainingArguments``."""
    half = job.get("dtype") == "bfloat16"
    return {
        "output_dir": folder, "use_cpu": job.get("device", "cpu") == "cpu", "bf16": half, "seed": job["seed"],
        "learning_rate": job["lr"], "lr_scheduler_type": "constant", "weight_decay": 0.0,
        "max_grad_norm": 1.0, "gradient_checkpointing": False, "save_strategy": "no", "report_to": "none",
        "logging_strategy": "no", "disable_tqdm": True, "dataloader_num_workers": 0,
    }  # fmt: skip


def rows_a_pass(job: dict[str, Any], update: int) -> int:
    """Of those wanted, as many as divide an update."""
    return next(rows for rows in range(min(job["rows"], update), 0, -1) if update % rows == 0)


def model(job: dict[str, Any]) -> Any:
    """The model to train."""
    dtype = getattr(torch, job.get("dtype", "float32"))
    return AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype, attn_implementation="sdpa")


def tokenizer(job: dict[str, Any]) -> Any:
    """Its tokenizer."""
    return AutoTokenizer.from_pretrained(job["model"])
