"""Proof of what happened: verify and reports find their place here; the log keeps the chain ready for them."""
