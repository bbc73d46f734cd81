"""The control socket: how the command line speaks with the running daemon."""
