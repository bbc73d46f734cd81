"""Puts the service in place and takes it away again: files, folders, and what systemd has to be told."""
