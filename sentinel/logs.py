"""One form of log line for every process: time, level, event, then key=value pairs."""

import logging
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

from sentinel.tracebacks import write_traceback


def _drop_colour_message(_: Any, __: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)
    return event


_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ExtraAdder(),
]
_PROCESSORS: Final[list[Processor]] = [
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
"""One list for good: a logger keeps the one that it was first used with, and whoever captures
lines changes the one that was configured last."""


def logging_config() -> dict[str, Any]:
    """Return the ``logging.config`` dictionary, for structlog's and the library's lines alike."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _drop_colour_message,
                    structlog.dev.ConsoleRenderer(
                        colors=False,
                        pad_event_to=0,
                        # The default prints local variables, and messages that quote values.
                        exception_formatter=write_traceback,
                    ),
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Each request and each of Celery's tasks is a line otherwise.
            "django.request": {"level": logging.CRITICAL},
            # It quotes the Host header; the request's own line says that it was refused.
            "django.security": {"level": logging.CRITICAL},
            "django.server": {"level": logging.WARNING},
            "celery.worker.strategy": {"level": logging.WARNING},
            "celery.app.trace": {"level": logging.WARNING},
            "kombu.mixins": {"level": logging.WARNING},
            # Celery warns of a change of its version 6 whenever Redis comes back.
            "py.warnings": {"level": logging.ERROR},
            "flower": {"level": logging.WARNING},
            "flower.inspector": {"level": logging.ERROR},
            "celery.beat": {"level": logging.WARNING},
            "httpx": {"level": logging.WARNING},
            "tornado.access": {"level": logging.ERROR},
        },
    }
