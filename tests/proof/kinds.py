"""The model servers that the attacks are played with: real ones, each from an environment of its own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.host import ROOT, Lacking
from support import prepared

HERE = Path(__file__).parent / "servers"
MODELS = ROOT / "var" / "prove" / "models"


@dataclass(frozen=True)
class Kind:
    """A kind of server. ``words`` starts it, {scripts}, {weights}, {host} and {port} filled in; ``maker`` lays weights.

    Without an environment it is a stand-in for tests: our own interpreter runs it.
    """

    name: str
    title: str
    words: tuple[str, ...]
    maker: str
    environment: str | None

    def python(self) -> Path:
        """Return the interpreter that runs it, its environment made where it is not. Raises Lacking."""
        return prepared.python(self.environment) if self.environment else Path(sys.executable)

    def weights(self) -> Path:
        """Return the folder of its weights, made once. Raises Lacking."""
        folder = MODELS / self.name
        if not folder.exists():
            making = folder.with_suffix(".new")
            shutil.rmtree(making, ignore_errors=True)
            making.parent.mkdir(parents=True, exist_ok=True)
            words = [str(self.python()), *self.maker.format(scripts=HERE).split(), str(making)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Lacking(f"{self.name}: its weights cannot be made: {done.stderr.strip().splitlines()[-1:]}")
            making.rename(folder)
        return folder


def _script(name: str) -> tuple[str, ...]:
    return (f"{{scripts}}/{name}.py", "{weights}", "{host}", "{port}")


LLAMA = ("-m", "llama_cpp.server", "--model", "{weights}/model.gguf", "--host", "{host}", "--port", "{port}")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("embed", "Sentence Transformers, all-MiniLM-L6-v2", _script("embed"), "{scripts}/embed.py", "torch"),
        Kind("graph", "ONNX Runtime, random weights", _script("graph"), "{scripts}/graph.py", "onnx"),
        Kind("llama", "llama.cpp, a GGUF of random weights", LLAMA, "{scripts}/gguf_model.py", "llama"),
        Kind("ranks", "Transformers, front, engine and two workers", _script("ranks"), "{scripts}/ranks.py", "torch"),
    )
}
STAND_IN = Kind(
    "stand-in",
    "the drill's dummy server",
    ("-m", "replguard.drill.server", "--weights", "{weights}", "--port", "{port}"),
    "{scripts}/dummy.py",
    None,
)
"""For tests of the bench: it needs nothing that is not there."""
