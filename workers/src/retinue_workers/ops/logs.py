"""Structured logs: one event per line, as JSON or aligned text."""

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor


class _Forgiving:
    """A stream that drops lines if a write fails, because a full disk must not stop a worker."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with _LOST:
            self._stream.write(text)

    def flush(self) -> None:
        with _LOST:
            self._stream.flush()


_LOST = suppress(OSError, ValueError)  # shared, because it has no state


_TALKATIVE = ("PIL", "boto3", "s3transfer", "urllib3")
"""Libraries that log data or every call at ``debug``."""


def configure(
    log_format: Literal["console", "json"],
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Send structlog and the standard library's logging to standard error, in one format.

    Args:
        log_format: ``json``, or ``console`` for aligned text.
        log_level: The lowest level that is written.
    """
    level: int = getattr(logging, log_level.upper())
    renderer: Processor = (
        _to_json
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        _add_timestamp,
    ]
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
    # Our own lines bypass `logging`, which would cost five times as much per line.
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Forgiving(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)  # a warning is a line of the log like any other
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    for name in ("alembic", "botocore", "sqlalchemy"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _add_timestamp(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Add the time in UTC, such as ``2026-01-02T03:04:05.678901Z``."""
    # structlog's TimeStamper writes the same with `isoformat`, which takes three times as long.
    event["timestamp"] = orjson.dumps(datetime.now(UTC), option=orjson.OPT_UTC_Z)[1:-1].decode()
    return event


def _to_json(_logger: object, _name: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, repr).decode()
    except TypeError:  # a text that isn't valid Unicode, or a number beyond 64 bits
        return json.dumps(event, default=repr)
