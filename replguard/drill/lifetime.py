"""A drill's processes end by themselves, should whoever started them be gone without ending them."""

import os
import threading

SECONDS = 180.0
"""Longer than any drill takes."""


def limit(seconds: float = SECONDS) -> threading.Timer:
    """End this process after so many seconds, whatever it does then."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
    return timer
