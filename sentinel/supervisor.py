"""Runs programs side by side: starts them again when they die, tells their logs apart, stops them.

Honcho prints the lines; its manager stops everything when one program ends, so the
keeping alive is done here.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from honcho.colour import get_colours
from honcho.printer import Message, Printer

_PR_SET_PDEATHSIG: Final = 1
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_STEADY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to keep running.

    Attributes:
        stop_signal: what asks it to end; what has not ended ``stop_seconds`` later is killed.
        uid, gid: whom it runs as, None for the supervisor's own user.
    """

    name: str
    argv: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    uid: int | None = None
    gid: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)


class ProgramFailed(Exception):  # noqa: N818 - reported as a sentence
    """A program that was to run once and succeed did not."""


class Supervisor:
    """Keeps programs alive until it is told to stop them."""

    def __init__(self) -> None:
        self._printer = Printer(sys.stdout, width=8)
        self._colours = get_colours()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._programs: dict[str, Program] = {}

    def say(self, line: str, *, name: str = "sentinel", colour: str | None = None) -> None:
        """Print a line as ``name``'s."""
        # A wall clock for people's eyes, in their own time zone.
        now = datetime.now().astimezone()
        with contextlib.suppress(OSError):  # nobody reads any more; the work goes on
            self._printer.write(Message("line", line, now, name, colour))

    def keep(self, program: Program) -> None:
        """Start a program, and again whenever it ends."""
        self._programs[program.name] = program
        self._keepers[program.name] = asyncio.create_task(self._keep(program))

    async def run_once(self, program: Program) -> None:
        """Run a program to its end.

        Raises:
            ProgramFailed: it ended with another status than 0.
        """
        colour = next(self._colours)
        process = await self._spawn(program)
        self._running[program.name] = process
        self._programs[program.name] = program
        try:
            last = await self._pump(process, program.name, colour)
            status = await process.wait()
        finally:
            _kill_group(process.pid)
            self._running.pop(program.name, None)
        if status:
            raise ProgramFailed(last or f"{program.name} failed with status {status}")

    def ended(self, name: str) -> bool:
        """Return whether a kept program is not running at this moment."""
        return name not in self._running

    async def stop(self, names: Iterable[str]) -> None:
        """Stop these programs together; kill what has not ended in its time."""
        await asyncio.gather(*(self._stop(name) for name in names))

    async def stop_all(self) -> None:
        """Stop every program, the last started first, and wait for their end."""
        for name in reversed(list(self._programs)):
            await self._stop(name)

    async def _stop(self, name: str) -> None:
        keeper = self._keepers.pop(name, None)
        process = self._running.get(name)
        if keeper is not None and process is None:
            keeper.cancel()
        if process is not None:
            program = self._programs[name]
            process.send_signal(program.stop_signal)
            try:
                async with asyncio.timeout(program.stop_seconds):
                    await process.wait()
            except TimeoutError:
                self.say(f"{name} did not stop within {program.stop_seconds:.0f} s: killed")
            _kill_group(process.pid)
        if keeper is not None:
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self, program: Program) -> None:
        colour = next(self._colours)
        pause = _FIRST_PAUSE
        while True:
            started = asyncio.get_running_loop().time()
            try:
                process = await self._spawn(program)
            except OSError as error:
                pause = min(pause * 2, _LONGEST_PAUSE)
                self.say(f"{program.name} cannot be started ({error}): again in {pause:.1f} s")
                await asyncio.sleep(pause)
                continue
            self._running[program.name] = process
            await self._pump(process, program.name, colour)
            status = await process.wait()
            # Workers forked by it may have outlived it, and would hold sockets and memory.
            _kill_group(process.pid)
            self._running.pop(program.name, None)
            if program.name not in self._keepers:
                return
            lived = asyncio.get_running_loop().time() - started
            pause = _FIRST_PAUSE if lived > _STEADY_SECONDS else min(pause * 2, _LONGEST_PAUSE)
            self.say(f"{program.name} ended ({_words(status)}): again in {pause:.1f} s")
            await asyncio.sleep(pause)

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *program.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.env},
            # Its own group: Ctrl-C in the terminal reaches the supervisor alone, which
            # stops everything in order; and a group can be killed whole.
            start_new_session=True,
            user=program.uid,
            group=program.gid,
            extra_groups=None if program.uid is None else [],
            cwd="/" if program.uid is not None else None,
            preexec_fn=lambda: _die_with_parent(program.stop_signal),
            limit=1024 * 1024,
        )

    async def _pump(self, process: asyncio.subprocess.Process, name: str, colour: str) -> str:
        """Print what a program prints until it ends; return its sentence, or its last line."""
        assert process.stdout is not None
        last = ""
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit: the buffer was dropped
                continue
            if not line:
                return last
            text = line.decode("utf-8", "replace").rstrip()
            # Of what a program says before it fails, its own sentence says most.
            if text.startswith("Sentinel: ") or not last.startswith("Sentinel: "):
                last = text
            self.say(text, name=name, colour=colour)


def _die_with_parent(number: signal.Signals) -> None:
    """Ask Linux to stop this child when the supervisor is killed; elsewhere it is not known how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _words(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
