"""A completions server on loopback: vLLM's protocol over a tiny model, with faults on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from sharpen.runs.streams import stream
from sharpen.sample.api_weights import CONTROL
from sharpen.sample.episode import Finish, Request
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Adapter, Policy

LAW = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


class Server(ThreadingHTTPServer):
    """Serves ``policy`` under the name ``base``.

    Attributes:
        bodies: what was asked for completions, faults included; probes of its weights not.
        faults: one name is taken for each completion: ``429``, ``500``, ``drop``, ``garbage``, ``hang``,
            ``no ids``, ``400``, ``abort``, ``filtered``, ``echo key``; ``""`` answers.
        plain: whether it is a server without vLLM's extensions.
        drops: whether it says that it took new weights, and does not.
        busiest: most requests at work at a time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, policy: Policy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.policy, self.adapters = policy, {"base": policy}
        self.bodies, self.paths, self.keys = [], [], set()
        self.faults: deque[str] = deque()
        self.plain = self.drops = False
        self.pace = 0.0
        self.probed = self.working = self.busiest = 0
        self.lock, self.engine = threading.Lock(), NativeEngine()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests

    def request_of(self, policy, body):
        ids = body["prompt"]
        if isinstance(ids, str):
            ids = policy.tokenizer(ids, add_special_tokens=False)["input_ids"]
        law = {name: body[name] for name in LAW if name in body}
        if body.get("allowed_token_ids"):
            law["allowed"] = tuple(body["allowed_token_ids"])
        law["banned"] = tuple(int(i) for i, bias in body.get("logit_bias", {}).items() if bias <= -100)
        ends = tuple(body["stop_token_ids"]) if body.get("ignore_eos") else policy.eos_ids
        stop = tuple(body.get("stop", ()))
        name = stream("server", body.get("seed", 0))
        return Request(np.array(ids, np.int32), name, SamplingLaw(**law), body["max_tokens"], ends, stop)

    def complete(self, body):
        policy = self.adapters[body.get("model") or "base"]
        asked = self.request_of(policy, body)
        with self.lock:
            done = self.engine.generate(policy, [asked])[0]
        told = "length" if done.finish is Finish.LENGTH else "stop"
        text = policy.tokenizer.decode(done.tokens[:-1] if done.finish is Finish.EOS else done.tokens)
        choice = {"index": 0, "text": text, "finish_reason": told}
        if not self.plain:
            choice["token_ids"], choice["prompt_token_ids"] = done.tokens.tolist(), asked.tokens.tolist()
            if "logprobs" in body:
                choice["logprobs"] = {"token_logprobs": done.raw_logprobs.tolist()}
        if "prompt_logprobs" in body and not self.plain:
            with self.lock:
                scores = self.engine.annotate(policy, [asked.tokens])[0].raw_logprobs
            pairs = list(zip(asked.tokens.tolist(), scores.tolist(), strict=True))
            choice["prompt_logprobs"] = [None, *({str(i): {"logprob": x}} for i, x in pairs[1:])]
        usage = {"prompt_tokens": len(asked.tokens), "completion_tokens": len(done.tokens)}
        return {"choices": [choice], "usage": usage}

    def load(self, name, folder):
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
        base = self.policy if self.drops else self.policy.with_adapter(Adapter(config, tensors), name)
        self.adapters[name] = base

    def reload(self, folder):
        tensors = load_file(folder / "model.safetensors")
        weights = {name: tensors[name] for name in self.policy.weights}
        if not self.drops:
            self.adapters["base"] = self.policy.with_weights(weights, folder.name)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.headers.get("authorization", "")
        with server.lock:
            server.paths.append(self.path)
            server.keys.add(key)
        if self.path == "/v1/completions":
            probing = body.get("seed") == CONTROL.seed()
            with server.lock:
                server.probed += probing
                if not probing:
                    server.bodies.append(body)
                server.working += 1
                server.busiest = max(server.busiest, server.working)
                fault = server.faults.popleft() if server.faults and not probing else ""
            time.sleep(server.pace)
            try:
                self.completion(body, fault, key)
            finally:
                with server.lock:
                    server.working -= 1
        else:
            self.control(body)

    def completion(self, body, fault, key):
        if fault == "drop":
            # a reset instead of an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault == "hang":
            self.server.over.wait(30)
        elif fault == "garbage":
            self.reply(200, b"<html>not JSON")
        elif fault == "429":
            self.reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})
        elif fault == "500":
            self.reply(500, {"error": {"message": "engine died"}})
        elif fault in ("400", "echo key"):
            said = f"wrong key: {key}" if fault == "echo key" else "max_tokens is too large"
            self.reply(400, {"error": {"message": said}})
        else:
            self.answer(body, fault)

    def answer(self, body, fault):
        if (body.get("model") or "base") not in self.server.adapters:
            self.reply(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
            return
        found = self.server.complete(body)
        choice = found["choices"][0]
        if fault == "no ids":
            del choice["token_ids"]
        elif fault in ("abort", "filtered"):
            choice["finish_reason"] = {"abort": "abort", "filtered": "content_filter"}[fault]
        self.reply(200, found)

    def control(self, body):
        server = self.server
        if server.plain:
            self.reply(404, {"detail": "Not Found"})
        elif self.path == "/v1/load_lora_adapter":
            if body["lora_name"] in server.adapters:
                said = f"The lora adapter '{body['lora_name']}' has already been loaded."
                self.reply(400, {"error": {"message": said}})
            else:
                server.load(body["lora_name"], Path(body["lora_path"]))
                self.reply(200, b"Success")
        elif self.path == "/v1/unload_lora_adapter":
            del server.adapters[body["lora_name"]]
            self.reply(200, b"Success")
        elif self.path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            server.reload(Path(body["kwargs"]["weights_path"]))
            self.reply(200, {"results": [None]})
        elif self.path == "/reset_prefix_cache":
            self.reply(200, {"success": True})

    def reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(policy):
    """A running ``Server``."""
    server = Server(policy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
