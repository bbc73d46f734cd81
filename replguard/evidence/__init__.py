"""What is kept as evidence while the daemon runs: what alerts name, who acted, checkpoints of the log."""
