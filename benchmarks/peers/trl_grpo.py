"""TRL's ``GRPOTrainer``: one step, float32, no divergence, loss and advantages as GRPO's paper has them.

Settings: ``rows`` a forward and backward pass (the rest by gradient accumulation, sampling all at once),
``cache`` of its ``generate``. The rest is in ``trl_settings``.
"""

import tempfile
from typing import Any

import side
import trl_settings
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer


class Seen:
    """What the reward function was shown."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def reward(self, completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        """1 where 7 divides the length of the text."""
        self.lengths += map(len, completion_ids)
        return [float(len(text) % 7 == 0) for text in completions]


def step(job: dict[str, Any], folder: str) -> dict[str, Any]:
    """Build a trainer and time its one step."""
    tokenizer = trl_settings.tokenizer(job)
    prompts = [tokenizer.decode(p) for p in job["prompts"]]
    assert [tokenizer(p)["input_ids"] for p in prompts] == job["prompts"]
    n = len(prompts) * job["samples"]
    rows = min(job["rows"], n)
    config = GRPOConfig(
        **{**trl_settings.shared(job, folder), "logging_strategy": "steps", "logging_steps": 1},
        max_steps=1,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=n // rows,
        num_generations=job["samples"],
        max_completion_length=job["max_new_tokens"],
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        beta=0.0,
        num_iterations=1,
        epsilon=0.2,
        loss_type="grpo",
        scale_rewards="group",
        cache_implementation=None if job["cache"] == "default" else job["cache"],
    )
    seen, updates = Seen(), trl_settings.Updates()
    trainer = GRPOTrainer(
        model=trl_settings.model(job),
        reward_funcs=seen.reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
        callbacks=[updates],
    )
    clock = side.Clock()
    trainer.train()
    spent = clock.read()
    work = side.counts(job, [[0] * length for length in seen.lengths])
    work |= {"rows": len(seen.lengths), "updates": updates.made}
    return {**spent, "unit": "tokens", "work": work}


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Warm up on a few tokens, time the step."""
    with tempfile.TemporaryDirectory() as folder:
        step({**side.warm(job), "rows": 4}, folder)
        return step(job, folder)


if __name__ == "__main__":
    side.run(main)
