"""The event log: JSON Lines in numbered segments, compressed when closed, capped by size and age."""
