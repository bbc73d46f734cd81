"""What every part of the daemon does as a process: diagnostics, signals, its last words."""

import _thread
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import structlog

from replguard.kernel import memory, own
from replguard.masking.mask import mask


class Given(msgspec.Struct, frozen=True):
    """What a part is started with: the configuration's path, the socket that joins the two, and where alerts go."""

    config: str | None
    socket: str
    json: bool = False


def begin(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Set the process up; SIGTERM and SIGINT ask for the end, SIGHUP for reading again."""
    own.know()
    if os.environ.get(own.SUPERVISED):
        own.end_with_parent()
    memory.frugal()
    diagnostics()
    faulthandler.enable(file=2)  # the watchdog's SIGABRT tells where each thread stands
    for number, step in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
        # A handler runs while its own thread may hold the locks of `threading`: a thread is started without them.
        signal.signal(number, lambda *_, step=step: _thread.start_new_thread(step, ()))


def _masked(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave credentials out of a diagnostic: errors quote what they were given."""
    return {key: mask(value) if isinstance(value, str) else value for key, value in entry.items()}


def diagnostics() -> None:
    """Send diagnostics to standard error, apart from alerts and as JSON unless a person reads them."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _masked,
            structlog.dev.ConsoleRenderer(colors=False) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
