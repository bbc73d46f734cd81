"""A launcher with worker processes, as vLLM's: ``ranks.py WEIGHTS HOST PORT``, ``ranks.py WEIGHTS`` to make the model.

The front process listens and holds no weights; an engine process takes its requests over a pipe and has two workers,
each of which loads the model's shards and answers in turn. The model is a small Llama of random weights.
"""

import itertools
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path

WORKERS = 2
TOKENS = 4


def make(folder: Path) -> None:
    """Write two shards of safetensors, 70 MB of bfloat16 together."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(9)
    sizes = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8192, **sizes)).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="40MB")


def worker(weights: str, line: Connection) -> None:
    """Load the model, say so, and answer until the line ends."""
    import torch
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(weights, dtype=torch.bfloat16, local_files_only=True)
    line.send("loaded")
    while True:
        text = line.recv()
        given = torch.tensor([list(text.encode()[-32:]) or [0]])
        told = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=TOKENS, do_sample=False)
        line.send(told[0, -TOKENS:].tolist())


def engine(weights: str, front: Connection) -> None:
    """Start the workers, wait until they have loaded, and give them what comes, in turn."""
    lines = []
    for _ in range(WORKERS):
        ours, theirs = multiprocessing.Pipe()
        multiprocessing.get_context("spawn").Process(target=worker, args=(weights, theirs)).start()
        lines.append(ours)
    for line in lines:
        line.recv()
    front.send("ready")
    for line in itertools.cycle(lines):
        line.send(front.recv())
        front.send(line.recv())


def main(weights: str, host: str, port: str) -> None:
    import threading

    from front import serve

    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=engine, args=(weights, theirs)).start()
    ours.recv()
    lock = threading.Lock()

    def answer(text: str) -> list[int]:
        with lock:
            ours.send(text)
            told: list[int] = ours.recv()
        return told

    serve(host, int(port), answer)


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[3:] else make(Path(sys.argv[1]))
