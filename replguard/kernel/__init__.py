"""Thin bindings to what the kernel offers: each parses one interface, and knows no events."""
