"""A pytest plugin that names each failure as it happens.

A run that is ended from outside never gets to pytest's summary.
"""

import pytest


class Telling:
    """Print the name of a test that failed, under the dots."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Name it, with the phase that it failed in."""
        if not report.failed:
            return
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and terminal.verbosity <= 0:
            seconds = f"{report.duration:.1f} s"
            terminal.ensure_newline()
            terminal.write_line(f"failed in {report.when}, {seconds}: {report.nodeid}")


def pytest_configure(config: pytest.Config) -> None:
    """Tell in the process that writes to the terminal alone."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Telling(config), "tests.telling.names")
