"""What is read back from the log: proof, incidents, answers. No part of the daemon."""
