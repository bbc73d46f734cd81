"""What the process sensors are made of: who a process is, which are ours, and whom provenance wants watched."""
