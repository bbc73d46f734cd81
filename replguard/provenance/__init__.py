"""Who did it, and where the content came from: raw events in, the same events enriched and facts out."""
