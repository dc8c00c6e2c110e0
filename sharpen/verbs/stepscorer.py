"""Settings of a step scorer, torch-free so that recipes can hold them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sharpen.runs.config import Config

Positive = Annotated[int, Field(gt=0)]


class StepScorer(Config):
    """A scalar head on the policy's hidden states, trained on Monte-Carlo step labels (arXiv 2312.08935)."""

    questions: Positive = 128
    """Training questions that are labelled."""
    solutions: Positive = 4
    """Solutions sampled a question (B-STaR: 15)."""
    completions: Positive = 4
    """Completions sampled from the end of each step (B-STaR: 8); a step is good if any of them is right."""
    width: Annotated[int, Field(ge=0)] = 64
    """Hidden units of the head; 0 is linear."""
    epochs: Positive = 20
    """Passes over the labelled steps."""
