"""How lines are configured."""

import structlog
from structlog.testing import capture_logs

from sentinel.logs import logging_config


def test_a_logger_that_was_used_before_is_captured_after_another_configuration() -> None:
    logging_config()
    logger = structlog.get_logger("tests.used_before")
    logger.debug("first")
    logging_config()
    with capture_logs() as lines:
        logger.info("second")
    assert [line["event"] for line in lines] == ["second"]
