"""replguard notices when a language model, or whoever drives it, makes or starts another copy of itself."""

__version__ = "0.1.0"
