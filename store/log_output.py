"""How our processes write their logs: one line an event, no local variables in tracebacks.

structlog's default console prints the locals of every frame; they hold inputs, payloads and tokens.
"""

import logging
import sys

import structlog


def configure(level: int = logging.INFO) -> None:
    """Write lines to standard error. Called by every entry of a process; again does no harm."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
