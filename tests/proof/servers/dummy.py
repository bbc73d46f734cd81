"""Lays the drill's dummy weights: ``dummy.py WEIGHTS``."""

import sys
from pathlib import Path

from replguard.drill import dummy

if __name__ == "__main__":
    dummy.write_model(Path(sys.argv[1]), tensors=8, seed=7)
