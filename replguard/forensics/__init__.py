"""Proof of what happened: chain, checkpoints, verify and reports find their place here; the log keeps it ready."""
