"""Makes a small Llama of random weights for llama.cpp: ``gguf_model.py WEIGHTS``."""

import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH, INNER, LAYERS, HEADS, WORDS, CONTEXT = 512, 1408, 11, 8, 4096, 512
"""79 MB of float16 and some float32."""


def main(folder: Path) -> None:
    """Write the file, with a vocabulary of bytes and of words that are none."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(10)
    file = GGUFWriter(folder / "model.gguf", "llama")
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(INNER)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_vocab_size(WORDS)
    file.add_tokenizer_model("llama")
    own = [b"<unk>", b"<s>", b"</s>"]
    each = [f"<0x{value:02X}>".encode() for value in range(256)]
    words = [f"w{number}".encode() for number in range(WORDS - len(own) - len(each))]
    file.add_token_list(own + each + words)
    file.add_token_scores([0.0] * WORDS)
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    file.add_token_types([*kinds, *[TokenType.BYTE] * len(each), *[TokenType.NORMAL] * len(words)])
    file.add_bos_token_id(1)
    file.add_eos_token_id(2)

    def dense(name: str, *shape: int) -> None:
        file.add_tensor(name, (random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)).astype(np.float16))

    def norm(name: str) -> None:
        file.add_tensor(name, np.ones(WIDTH, np.float32))

    dense("token_embd.weight", WORDS, WIDTH)
    dense("output.weight", WORDS, WIDTH)
    norm("output_norm.weight")
    for at in (f"blk.{layer}" for layer in range(LAYERS)):
        for part in ("q", "k", "v", "output"):
            dense(f"{at}.attn_{part}.weight", WIDTH, WIDTH)
        for part, shape in (("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            dense(f"{at}.ffn_{part}.weight", *shape)
        norm(f"{at}.attn_norm.weight")
        norm(f"{at}.ffn_norm.weight")
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
