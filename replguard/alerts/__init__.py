"""From detections to what leaves the host: a sentence, folding, incidents, what to allow and how to contain."""
