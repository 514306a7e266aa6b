"""How ``sentinel check`` is drawn: hops as bars to one scale, the verdict, the table of many."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from monitoring.probes.outcome import Certificate, Hop, Outcome
from monitoring.probes.states import State
from sentinel.tally import PHASES, Tally

MAX_WIDTH: Final = 100
COLOURS: Final = {
    "dns": "cyan",
    "connect": "blue",
    "tls": "magenta",
    "wait": "yellow",
    "download": "green",
}
STATE_STYLES: Final = {
    State.UP: "bold green",
    State.DEGRADED: "bold yellow",
    State.DOWN: "bold red",
    State.INTERNAL: "bold magenta",
    State.MISSED: "bold magenta",
}
_BROKEN: Final = "red"
_LABEL_WIDTH: Final = 15
_TIME_WIDTH: Final = 12
_MIN_BAR_WIDTH: Final = 8
_BLOCKS: Final = {(True, True): "█", (True, False): "▌", (False, True): "▐", (False, False): " "}
_COLUMNS: Final = (("code", 5), ("total", 9), *((name, 9) for name in PHASES))


def plain(text: str) -> str:
    """Return a text in which a stranger may have had a hand, without what steers a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def milliseconds(micros: int) -> str:
    """Return a duration in milliseconds: two decimals below ten, else one."""
    return f"{micros / 1000:.2f}" if micros < 10_000 else f"{micros / 1000:,.1f}"


def bar(begin: int, end: int, whole: int, width: int, *, ascii_only: bool = False) -> str:
    """Return ``width`` cells in which those from ``begin`` to ``end`` are full, to half a cell.

    What is there at all can be seen: the least is half a cell.

    Args:
        begin: where it begins, in the unit of ``whole``.
        end: where it ends.
        whole: what all the cells together stand for.
        width: how many cells there are.
        ascii_only: whether the output knows no block characters; then the grain is a cell.
    """
    grain = 1 if ascii_only else 2
    size = width * grain
    whole = max(whole, 1)
    first = min(round(begin * size / whole), size - 1)
    last = min(max(round(end * size / whole), first + 1), size)
    filled = [first <= place < last for place in range(size)]
    if ascii_only:
        return "".join("#" if full else " " for full in filled)
    return "".join(_BLOCKS[filled[at], filled[at + 1]] for at in range(0, size, 2))


class Drawing:
    """Draws for one console, in its width and with what characters it has.

    Args:
        console: where it will be printed.
        verified: whether certificates were to be believed.
    """

    def __init__(self, console: Console, *, verified: bool = True) -> None:
        self._console = console
        self._width = min(console.width, MAX_WIDTH)
        self._ascii = not console.encoding.lower().startswith("utf")
        self._verified = verified

    def outcome(self, outcome: Outcome, *, now: datetime, hint: str | None = None) -> Group:
        """Return the picture of one check.

        Args:
            outcome: what it saw.
            now: to tell how many days a certificate has left.
            hint: what the person may do about it.
        """
        parts: list[RenderableType] = []
        begun = 0
        for number, hop in enumerate(outcome.hops):
            if number:
                parts.append("")
            ended = hop is outcome.hops[-1] and hop.status_code is None
            parts += self._hop(hop, begun, outcome.total_us, broken=ended, now=now)
            begun += hop.phases.total_us
        if parts:
            parts.append("")
        parts.append(_verdict(outcome))
        if hint is not None:
            parts.append(Text(plain(hint), overflow="fold"))
        return Group(*parts)

    def _hop(
        self, hop: Hop, begun: int, whole: int, *, broken: bool, now: datetime
    ) -> Iterator[RenderableType]:
        title = Text(f"{hop.method} ", overflow="fold")
        title.append(plain(hop.url), style="bold")
        yield title
        for label, text in _of_answer(hop):
            yield from self._fact(label, text)
        yield from self._bars(hop, begun, whole, broken=broken)
        for label, text in self._of_certificate(hop, now):
            yield from self._fact(label, text)
        if hop.bytes is not None:
            size = f"{hop.bytes:,} {'byte' if hop.bytes == 1 else 'bytes'}"
            yield from self._fact("body", Text(size))

    def _fact(self, label: str, text: Text) -> Iterator[Text]:
        """Yield a text after its label, folded under its own beginning."""
        width = max(self._width - _LABEL_WIDTH, _MIN_BAR_WIDTH)
        for folded in text.wrap(self._console, width, overflow="fold"):
            folded.rstrip()
            yield Text.assemble(_label(label), folded)
            label = ""

    def _bars(self, hop: Hop, begun: int, whole: int, *, broken: bool) -> Iterator[Text]:
        width = max(self._width - _LABEL_WIDTH - _TIME_WIDTH, _MIN_BAR_WIDTH)
        reached = [name for name in PHASES if getattr(hop.phases, f"{name}_us") is not None]
        for name in PHASES:
            micros: int | None = getattr(hop.phases, f"{name}_us")
            if micros is None:
                absent = _absent(name, hop)
                yield Text.assemble(_label(name), (f"{absent:>{width + _TIME_WIDTH}}", "dim"))
                continue
            drawn = bar(begun, begun + micros, whole, width, ascii_only=self._ascii)
            style = _BROKEN if broken and name == reached[-1] else COLOURS[name]
            time = f"{milliseconds(micros)} ms"
            yield Text.assemble(_label(name), (drawn, style), f"{time:>{_TIME_WIDTH}}")
            begun += micros

    def _of_certificate(self, hop: Hop, now: datetime) -> Iterator[tuple[str, Text]]:
        certificate = hop.certificate
        version = f", {hop.tls_version}" if hop.tls_version else ""
        if certificate is None:
            if version:
                yield "certificate", Text(f"cannot be read{version}")
            return
        text = Text(plain(certificate.subject or "nobody"))
        text.append(f", issued by {plain(certificate.issuer or 'nobody')}\n")
        text.append(_validity(certificate, now) + version)
        if certificate.problem is not None:
            text.append(f"\nnot believed: {plain(certificate.problem)}", style=_BROKEN)
        elif not self._verified:
            text.append("\nnot verified (--insecure)", style="yellow")
        yield "certificate", text

    def tally(self, tally: Tally, *, latest: bool) -> Group:
        """Return the table of many checks: what they ended as, and percentiles in milliseconds.

        Args:
            tally: of them.
            latest: whether the last results stand above it, one a line.
        """
        parts: list[RenderableType] = []
        if latest:
            parts += [heading(), *(line(number, each) for number, each in tally.latest), ""]
        names = "".join(f"{name:>10}" for name in ("checks", "min", "p50", "p90", "p99", "max"))
        parts.append(Text(f"{'ms':<{_LABEL_WIDTH}}{names}", style="dim"))
        for name in (*PHASES, "total"):
            count, micros = tally.row(name)
            cells = [milliseconds(each) for each in micros] or ["-"] * 5
            row = "".join(f"{cell:>10}" for cell in (str(count), *cells))
            parts.append(Text.assemble((f"{name:<{_LABEL_WIDTH}}", COLOURS.get(name, "bold")), row))
        parts += ["", _counts(tally)]
        return Group(*parts)


def _label(text: str) -> tuple[str, str]:
    return f"  {text:<{_LABEL_WIDTH - 2}}", "dim"


def heading() -> Text:
    """Return what stands above lines."""
    names = "".join(f"{name:>{size}}" for name, size in _COLUMNS)
    return Text(f"{'':>6}  {'state':<9}{names}", style="dim")


def line(number: int, outcome: Outcome) -> Text:
    """Return one check as a line, its times in milliseconds."""
    cells = ["-" if outcome.status_code is None else str(outcome.status_code)]
    cells.append(milliseconds(outcome.total_us))
    for name in PHASES:
        micros: int | None = getattr(outcome.phases, f"{name}_us")
        cells.append("-" if micros is None else milliseconds(micros))
    text = Text(f"{number:>6}  ")
    text.append(f"{outcome.state.upper():<9}", style=STATE_STYLES[outcome.state])
    text.append("".join(f"{c:>{size}}" for c, (_, size) in zip(cells, _COLUMNS, strict=True)))
    if outcome.reason is not None:
        text.append(f"  {_cause(outcome)}")
    return text


def _counts(tally: Tally) -> Text:
    text = Text(f"{tally.count} {'check' if tally.count == 1 else 'checks'}")
    mark = ": "
    for state in State:
        if count := tally.states[state]:
            text.append(mark).append(f"{count} {state}", style=STATE_STYLES[state])
            mark = ", "
    return text


def _verdict(outcome: Outcome) -> Text:
    text = Text(overflow="fold")
    text.append(outcome.state.upper(), style=STATE_STYLES[outcome.state])
    text.append(f" in {milliseconds(outcome.total_us)} ms")
    if outcome.reason is not None:
        text.append(f", {_cause(outcome)}")
    return text


def _cause(outcome: Outcome) -> str:
    return f"{outcome.reason}: {plain(outcome.detail)}" if outcome.detail else f"{outcome.reason}"


def _of_answer(hop: Hop) -> list[tuple[str, Text]]:
    facts = []
    if hop.status_code is None:
        facts.append(("status", Text("no answer")))
    else:
        facts.append(("status", Text(f"{hop.status_code}, HTTP/{hop.http_version}")))
    if hop.ip is not None:
        text = Text(_endpoint(hop.ip, hop.port))
        others = [each for each in hop.addresses if each != hop.ip]
        if others:
            text.append(f", also {', '.join(others)}", style="dim")
        facts.append(("address", text))
    elif hop.addresses:
        facts.append(("address", Text(f"not dialled: {', '.join(hop.addresses)}")))
    return facts


def _endpoint(address: str, port: int | None) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _absent(name: str, hop: Hop) -> str:
    """Return why a phase has no time: it was not there to be reached, or the check ended before."""
    if name == "dns" and hop.addresses:
        return "not asked"
    if name == "tls" and hop.url.startswith("http://"):
        return "none"
    return "not reached"


def _validity(certificate: Certificate, now: datetime) -> str:
    if now < certificate.not_before:
        return f"valid from {certificate.not_before:%Y-%m-%d}"
    until = f"{certificate.not_after:%Y-%m-%d}"
    days = (certificate.not_after - now).days
    if now > certificate.not_after:
        ago = (now - certificate.not_after).days
        return f"expired {until}, {ago} {'day' if ago == 1 else 'days'} ago"
    return f"valid until {until}, {days} {'day' if days == 1 else 'days'} left"
