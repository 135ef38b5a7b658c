"""Logs by structlog: readable lines on a terminal, JSON elsewhere; always on standard error."""

import logging
import sys

import structlog


def configure_logging(level: str = "INFO") -> None:
    """Set structlog up for this process.

    Raises:
        KeyError: if ``level`` is not a level of the standard library.
    """
    # Beam says so at import, on the root logger, to everybody who has not installed its BigQuery client.
    logging.getLogger().addFilter(_no_bigquery)
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up at each use: a caller may put another stream in place, and close it later.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _no_bigquery(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("apitools not found")
