"""The same load by wrk (Debian's package of that name): a generator that is not ours.

It keeps so many connections busy, as ``load.closed`` does, and takes less CPU for it. It sends
at no fixed rate, so what is open stays with ``load``.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, Final

from tests.benchmarks.measure import Failed

_SCRIPT: Final = """
wrk.headers["Authorization"] = "Bearer %(key)s"
local plain = {["Authorization"] = wrk.headers["Authorization"]}
local typed = {["Authorization"] = plain["Authorization"], ["Content-Type"] = "application/json"}
local wanted, made, turn = {%(requests)s}, {}, 0

function init(args)
  for place, one in ipairs(wanted) do
    made[place] = wrk.format(one[1], one[2], one[3] and typed or plain, one[3])
  end
end

function request()
  turn = turn %% #made + 1
  return made[turn]
end

function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"status":%%d,"broken":%%d,"p50":%%d,"p99":%%d,"max":%%d}\\n',
    summary.requests, wrong.status, wrong.connect + wrong.read + wrong.write + wrong.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def closed(
    port: int, key: str, requests: Sequence[Sequence[Any]], *, connections: int, seconds: float
) -> dict[str, int]:
    """Keep each connection busy for so long.

    Returns:
        ``requests`` that were answered, those of a ``status`` of 400 and more, those that were
        ``broken`` off, and ``p50``, ``p99`` and ``max`` of the latencies in microseconds.

    Raises:
        Failed: wrk is not installed, or fails.
    """
    lines = ",".join(
        "{"
        + ",".join(json.dumps(each if isinstance(each, str) else json.dumps(each)) for each in one)
        + "}"
        for one in requests
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % {"key": key, "requests": lines})
        script.flush()
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s"]
        argv += ["-s", script.name, f"http://127.0.0.1:{port}"]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=seconds + 60, check=True
            )
        except FileNotFoundError:
            raise Failed("wrk is not installed: on Debian, apt-get install wrk") from None
        except subprocess.CalledProcessError as error:
            raise Failed(f"wrk: {error.stderr or error.stdout}") from None
    found: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
