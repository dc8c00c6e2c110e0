"""How a policy's weights reach a server (``ApiConfig.weights``), and the proof that they did."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.runs.tape import Tape
from sharpen.sample.api_client import Ask, Rejected, Reply, Session
from sharpen.sample.api_config import ApiConfig
from sharpen.sample.api_protocol import NoTokenIds, read_sampled, sampling_body
from sharpen.sample.episode import Ids, Request
from sharpen.sample.law import GREEDY
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Policy, checksum

PROBES, PROBE_TOKENS, PROBE_SAMPLED = 4, 256, 16
"""Texts that the server goes on with to show its weights, the length of each at most, and of its answer."""

_HINTS = {
    "lora": "start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora --max-lora-rank 16",
    "reload": "start vLLM with VLLM_SERVER_DEV_MODE=1",
}
CONTROL = stream("api", "weights")
"""Names what is not a sample: pauses between tries are drawn from it."""


class Weights:
    """What the server holds, as far as this process has sent it.

    Args:
        config: how weights are sent.
        tape: remembers what the run began with, for when it is taken up again.
    """

    def __init__(self, config: ApiConfig, tape: Tape | None) -> None:
        self._config, self._tape = config, tape
        self._known: dict[str, str] = {}
        self._adapter = ""  # the one that is loaded
        self._sent = ""  # the version that the server's answers have been compared with
        self._written: Path | None = None  # what the server read last
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def check(self, policy: Policy) -> None:
        """Raise SharpenError for a policy that cannot reach the server: its weights would be dropped."""
        if self._config.weights == "fixed":
            self._same(
                "version",
                policy.version,
                f"policy {policy.version} has other weights than {{}}, which the run began with, and "
                "api.weights=fixed sends none: set api.weights to lora or reload",
            )

    async def ready(self, session: Session, policy: Policy, texts: Sequence[Ids]) -> str:
        """Bring the policy's weights to the server; the model's name there.

        Args:
            texts: ids that the server goes on with, to prove that it has the policy's weights.

        Raises:
            SharpenError: the server did not take them.
        """
        name = self._config.model
        if self._config.weights == "lora":
            name = await self._lora(session, policy)
        elif self._config.weights == "reload" and policy.version != self._sent:
            await self._reload(session, policy)
        if policy.version != self._sent:
            try:
                await self._compare(session, policy, name, texts)
            except SharpenError:
                self._adapter = ""  # to be sent anew
                raise
            self._sent = policy.version
        return name

    async def _lora(self, session: Session, policy: Policy) -> str:
        """Load the adapter under the policy's version and unload the one before."""
        base = checksum(replace(policy, adapter=None))
        self._same(
            "base",
            base,
            f"policy {policy.version} stands on other weights ({base}) than the run began with ({{}}), and "
            "api.weights=lora sends adapters only: train with method=lora, or set api.weights=reload",
        )
        if policy.adapter is None or policy.version == self._adapter:
            return self._config.model if policy.adapter is None else policy.version
        # the content is in the path: vLLM's prefix cache is keyed by name and path
        folder = self._place() / f"{policy.version}-{checksum(policy)[:16]}"
        _save_adapter(policy, folder)
        body = {"lora_name": policy.version, "lora_path": str(folder)}
        try:
            await self._call(session, "load_lora_adapter", body)
        except Rejected as problem:
            if "already been loaded" not in str(problem):
                raise
            # left by a process before this one
            await self._call(session, "unload_lora_adapter", {"lora_name": policy.version})
            await self._call(session, "load_lora_adapter", body)
        if self._adapter:
            await self._call(session, "unload_lora_adapter", {"lora_name": self._adapter})
        self._adapter = policy.version
        self._keep_only(folder)
        return policy.version

    async def _reload(self, session: Session, policy: Policy) -> None:
        """Have the server read all weights again, from a folder of this version."""
        self._sent = ""
        folder = self._place() / f"{policy.version}-all"
        folder.mkdir(parents=True, exist_ok=True)
        # aliases of tied weights too: the server may hold them as tensors of their own
        tensors = dict(policy.module().named_parameters(remove_duplicate=False))
        _save(tensors, folder / "model.safetensors")
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        await self._call(session, "/collective_rpc", body)
        # requests are salted by version already; this frees the memory of what nobody asks for any more
        await self._call(session, "/reset_prefix_cache", {})
        self._keep_only(folder)

    async def _compare(self, session: Session, policy: Policy, name: str, texts: Sequence[Ids]) -> None:
        """Have the server go on with a few texts, and compare what it says of its tokens with the policy's
        own forward pass: another model, or a dropped update, shows here, before anything is sampled with it.

        Not by scoring given text: vLLM 0.32 dies of that where it serves adapters and has company.
        """
        fixed, told = self._config.weights == "fixed", dict[Ask, Reply]()
        if not texts or self._config.logprobs == "none" or self._config.tokens == "text":
            return
        asks = [_probe(policy, name, ids) for ids in texts]
        try:
            await session.ask_all(asks, told.__setitem__)
        except NoTokenIds:
            if fixed:
                return  # the engine will say so
            raise
        whole = [
            np.array([*i.tolist(), *told[a]["tokens"]], np.int32) for i, a in zip(texts, asks, strict=True)
        ]
        notes = NativeEngine().annotate(policy, whole)
        ours = np.concatenate([n.raw_logprobs[len(i) :] for i, n in zip(texts, notes, strict=True)])
        theirs = np.concatenate([told[a]["logprobs"] for a in asks]).astype(np.float64)
        gap = float(np.abs(theirs - ours).mean())
        if not gap <= self._config.rounding:
            raise SharpenError(
                f"the server does not answer with the weights of policy {policy.version}: its "
                f"log-probabilities are {gap:.2g} nats from the policy's own, mean over {len(ours)} tokens "
                f"(api.rounding={self._config.rounding:g})"
            )

    async def _call(self, session: Session, path: str, body: Mapping[str, Any]) -> None:
        try:
            answer = await session.call(path, body, CONTROL)
        except Rejected as problem:
            if problem.status != 404:
                raise
            raise SharpenError(f"{problem}: {_HINTS[self._config.weights]}") from None
        if isinstance(answer, dict) and answer.get("success") is False:
            raise SharpenError(f"{self._config.url}: {path} did not succeed")

    def _same(self, what: str, value: str, problem: str) -> None:
        """Refuse a ``value`` other than the run's first one, which is put into ``problem``."""
        key = f"weights: {what}"
        if what not in self._known:
            stored = self._tape.get(key) if self._tape is not None else None
            if stored is None and self._tape is not None:
                self._tape.put(key, {"value": value})
            self._known[what] = stored["value"] if stored is not None else value
        if value != self._known[what]:
            raise SharpenError(problem.format(self._known[what]))

    def _place(self) -> Path:
        """Where to write for the server."""
        if self._config.folder:
            return Path(self._config.folder).absolute()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sharpen-api-")
        return Path(self._temporary.name)

    def _keep_only(self, folder: Path) -> None:
        """Remove what this process wrote for the version before."""
        if self._written is not None and self._written != folder:
            shutil.rmtree(self._written, ignore_errors=True)
        self._written = folder


def _probe(policy: Policy, name: str, ids: Ids) -> Ask:
    """Greedy, of which both raw and processed log-probabilities are the model's own."""
    request = Request(ids, CONTROL, GREEDY, PROBE_SAMPLED, policy.eos_ids)
    body = sampling_body(policy, request, logprobs=True) | ({"model": name} if name else {})

    def read(answer: Any) -> Reply:
        return read_sampled(answer, request, logprobs=True)

    return Ask("", CONTROL, body, read, len(ids), PROBE_SAMPLED)


def _save_adapter(policy: Policy, folder: Path) -> None:
    """The adapter alone, in peft's layout."""
    assert policy.adapter is not None
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(policy.adapter.config), sort_keys=True)
    (folder / "adapter_config.json").write_text(text)
    _save(policy.adapter.tensors, folder / "adapter_model.safetensors")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    # clones: the format knows no tensors that share memory
    copies = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    save_file(copies, path, metadata={"format": "pt"})


def beginnings(policy: Policy, texts: Iterable[Ids]) -> list[Ids]:
    """The beginnings of the first few different texts, with room to go on."""
    longest = min(PROBE_TOKENS, policy.context - PROBE_SAMPLED)
    found: dict[bytes, Ids] = {}
    for ids in texts:
        if len(found) < PROBES and longest > 0:
            found.setdefault(ids[:longest].tobytes(), ids[:longest])
    return list(found.values())
