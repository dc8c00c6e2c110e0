"""A tiny GGUF file of Gemma 3's shape, and a stand-in package that carries it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np

from sharpen.models.names import Packaged
from sharpen.runs.streams import stream

HIDDEN, LAYERS, MLP, HEADS, HEAD = 32, 2, 64, 2, 32
CONTROL, USER, BYTE, NORMAL = 3, 4, 6, 1
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<end_of_turn>")
PIECES = ("▁", *"abcdefghij0123456789+-=?:.", "ab", "▁a", "▁ab")
WORDS = (*SPECIAL, "\n", *(f"<0x{i:02X}>" for i in range(256)), *PIECES)


def write(path: Path) -> dict[str, np.ndarray]:
    """Write the file; returns its matrices as the quantised numbers say they are, by GGUF name."""
    w = gguf.GGUFWriter(path, "gemma3")
    w.add_context_length(256)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(MLP)
    w.add_head_count(HEADS)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_key_length(HEAD)
    w.add_rope_freq_base(1e6)
    w.add_sliding_window(16)
    w.add_tokenizer_model("llama")
    w.add_token_list(WORDS)
    # of a byte-pair vocabulary the score is the rank: earlier merges are higher
    w.add_token_scores([0.0 if len(p) == 1 else -float(i) for i, p in enumerate(WORDS)])
    types = [CONTROL] * len(SPECIAL) + [USER] + [BYTE] * 256 + [NORMAL] * len(PIECES)
    w.add_token_types(types)
    w.add_pad_token_id(0)
    w.add_eos_token_id(1)
    w.add_bos_token_id(2)
    w.add_unk_token_id(3)
    matrices = {"token_embd": (len(WORDS), HIDDEN)}
    norms = {"output_norm": HIDDEN}
    for b in range(LAYERS):
        matrices |= {
            f"blk.{b}.attn_q": (HEADS * HEAD, HIDDEN),
            f"blk.{b}.attn_k": (HEAD, HIDDEN),
            f"blk.{b}.attn_v": (HEAD, HIDDEN),
            f"blk.{b}.attn_output": (HIDDEN, HEADS * HEAD),
            f"blk.{b}.ffn_gate": (MLP, HIDDEN),
            f"blk.{b}.ffn_up": (MLP, HIDDEN),
            f"blk.{b}.ffn_down": (HIDDEN, MLP),
        }
        names = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        norms |= {f"blk.{b}.{n}": HIDDEN for n in names}
        norms |= {f"blk.{b}.{n}": HEAD for n in ("attn_q_norm", "attn_k_norm")}
    kind, numbers = gguf.GGMLQuantizationType.Q8_0, {}
    for name, shape in matrices.items():
        values = stream("tiny gguf", name).generator().standard_normal(shape).astype(np.float32) / 8
        data = gguf.quants.quantize(values, kind)
        numbers[name] = gguf.quants.dequantize(data, kind)
        w.add_tensor(f"{name}.weight", data, raw_dtype=kind)
    for name, n in norms.items():
        w.add_tensor(f"{name}.weight", np.full(n, 1.5, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return numbers


def package(root: Path, version: str = "1.0") -> Packaged:
    """A stand-in package below ``root``, which belongs on ``sys.path``; its ``assemble`` copies the file."""
    root.mkdir(exist_ok=True)
    write(root / "tiny.gguf")
    (root / "tiny_model_gguf.py").write_text(
        "import shutil, pathlib\n"
        "def assemble(path):\n"
        "    return shutil.copy(pathlib.Path(__file__).with_name('tiny.gguf'), path)\n"
    )
    info = root / f"tiny_model_gguf-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-model-gguf\nVersion: {version}\n")
    digest = hashlib.sha256((root / "tiny.gguf").read_bytes()).hexdigest()
    return Packaged(
        "tiny-model", "tiny", "tiny-model-gguf", "tiny_model_gguf", digest, ("<end_of_turn>",), 42, "no terms"
    )
