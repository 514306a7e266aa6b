"""blackbox_exporter alone, and with Prometheus that scrapes it and stores what it says.

Both as Debian installs them (``prometheus``, ``prometheus-blackbox-exporter``), each run as a child
with a configuration, a folder and ports of its own.
"""

import http.client
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.cluster import free_port
from tests.benchmarks import clients
from tests.benchmarks.measure import Bounds, Failed, Sample, cpu_seconds
from tests.benchmarks.target import Target, stop

SCRAPED: Final = {"http": 600, "https": 400}
"""Targets that Prometheus scrapes every two seconds: below what fills one core, where it begins to
lose scrapes, and enough that what the two spend when idle does not count."""

_SCRAPE_SECONDS: Final = 2
"""Prometheus's interval, and how long it lets a scrape take."""

_SETTLING_SECONDS: Final = 30.0
"""Within which every target is scraped once: Prometheus waits some seconds before the first."""

_SCRAPING_TIMES: Final = 4
"""How much longer than the others Prometheus is watched: it decides by itself when it works."""

_START_SECONDS: Final = 20.0
_FEWEST_SUCCEEDED: Final = 0.9

_BLACKBOX: Final = """\
modules:
  check:
    prober: http
    timeout: 30s
    http:
      preferred_ip_protocol: ip4
      tls_config:
        ca_file: {authority}
"""

_PROMETHEUS: Final = """\
global:
  scrape_interval: {seconds}s
  scrape_timeout: {seconds}s
scrape_configs:
  - job_name: check
    metrics_path: /probe
    params:
      module: [check]
    static_configs:
      - targets: {targets}
    relabel_configs:
      - source_labels: [__address__]
        target_label: __param_target
      - source_labels: [__param_target]
        target_label: instance
      - target_label: __address__
        replacement: 127.0.0.1:{exporter}
"""


def prometheus() -> str | None:
    """Return the path of Prometheus, None where it is not installed."""
    return shutil.which("prometheus")


def blackbox() -> str | None:
    """Return the path of blackbox_exporter, None where it is not installed."""
    return shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")


def missing() -> dict[str, str]:
    """Return which parts cannot be measured here, and why."""
    lacks: dict[str, str] = {}
    if blackbox() is None:
        lacks = dict.fromkeys(("blackbox", "prometheus"), "blackbox_exporter is not installed")
    if prometheus() is None:
        lacks["prometheus"] = "Prometheus is not installed"
    return lacks


@dataclass(frozen=True, slots=True)
class Peers:
    """Where their files go, and what they check."""

    folder: Path
    target: Target

    def blackbox(self, scheme: str, in_flight: int, bounds: Bounds) -> Sample:
        """Ask blackbox_exporter for probes, ``in_flight`` at once.

        Raises:
            Failed: it does not start, or a probe did not succeed.
        """
        with self._exporter() as (pid, port):
            query = urllib.parse.urlencode({"module": "check", "target": self.target.urls[scheme]})
            return clients.run(
                "blackbox",
                scheme=scheme,
                url=f"http://127.0.0.1:{port}/probe?{query}",
                authority=self.target.authority,
                in_flight=in_flight,
                bounds=bounds,
                count_pid=pid,
            )

    def prometheus(self, scheme: str, bounds: Bounds) -> Sample:
        """Let Prometheus scrape as it does, and count what it has stored.

        Raises:
            Failed: one of them does not start, or too few of its probes succeeded.
        """
        program = prometheus()
        assert program is not None
        with self._exporter() as (exporter, exporter_port):
            folder = self.folder / f"prometheus-{exporter_port}"
            folder.mkdir()
            configuration = folder / "prometheus.yml"
            url = self.target.urls[scheme]
            configuration.write_text(
                _PROMETHEUS.format(
                    targets=json.dumps([f"{url}{one}" for one in range(SCRAPED[scheme])]),
                    exporter=exporter_port,
                    seconds=_SCRAPE_SECONDS,
                )
            )
            port = free_port()
            argv = [program, f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
            argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
            with _running(argv, folder, f"http://127.0.0.1:{port}/-/ready") as server:
                _settle(port, SCRAPED[scheme])
                before = cpu_seconds([exporter, server])
                begun = time.time()
                time.sleep(bounds.seconds * _SCRAPING_TIMES)
                cpu = cpu_seconds([exporter, server]) - before
                wall = time.time() - begun
                time.sleep(_SCRAPE_SECONDS)  # what began in time is stored by then
                return Sample(
                    part="prometheus",
                    scheme=scheme,
                    in_flight=None,
                    checks=_stored(port, begun + wall, wall),
                    cpu_s=cpu,
                    wall_s=wall,
                )

    @contextmanager
    def _exporter(self) -> Iterator[tuple[int, int]]:
        """Run blackbox_exporter; give its process and its port."""
        program = blackbox()
        assert program is not None
        configuration = self.folder / "blackbox.yml"
        configuration.write_text(_BLACKBOX.format(authority=self.target.authority))
        port = free_port()
        argv = [program, f"--config.file={configuration}", "--log.level=error"]
        argv += [f"--web.listen-address=127.0.0.1:{port}"]
        with _running(argv, self.folder, f"http://127.0.0.1:{port}/-/healthy") as pid:
            yield pid, port


@contextmanager
def _running(argv: list[str], folder: Path, health: str) -> Iterator[int]:
    """Run a server until it is no longer wanted; give its process once it is healthy."""
    with (folder / "peers.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(health):
            if process.poll() is not None or time.monotonic() > deadline:
                words = (folder / "peers.log").read_text()[-1000:]
                raise Failed(f"{Path(argv[0]).name} does not start: {words}")
            time.sleep(0.1)  # a server that is starting offers nothing to wait on
        yield process.pid
    finally:
        stop(process)


def _settle(port: int, targets: int) -> None:
    """Wait until Prometheus has scraped every target."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (scraped := _asked(port, "count(probe_success)", time.time())) < targets:
        if time.monotonic() > deadline:
            raise Failed(f"Prometheus scraped {scraped:.0f} of {targets} targets")
        time.sleep(0.5)  # its schedule is its own, and nothing tells when it has begun


def _stored(port: int, end: float, seconds: float) -> int:
    """Return how many checks Prometheus stored as successful in the ``seconds`` before ``end``.

    Under load a few are not: what is left of the scrape's time is the probe's.
    """
    span = f"probe_success[{round(seconds * 1000)}ms]"
    counted = _asked(port, f"sum(count_over_time({span}))", end)
    succeeded = _asked(port, f"sum(sum_over_time({span}))", end)
    if not counted or succeeded < counted * _FEWEST_SUCCEEDED:
        raise Failed(f"Prometheus stored {counted:.0f} checks, of which {succeeded:.0f} succeeded")
    return round(succeeded)


def _asked(port: int, query: str, at: float) -> float:
    words = urllib.parse.urlencode({"query": query, "time": f"{at:.3f}"})
    with _open(f"http://127.0.0.1:{port}/api/v1/query?{words}") as answer:
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def _answers(url: str) -> bool:
    try:
        with _open(url) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _open(url: str) -> http.client.HTTPResponse:
    # Not through a proxy of the environment: it is our own process on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: http.client.HTTPResponse = opener.open(url, timeout=10)
    return answer
