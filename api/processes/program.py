"""One supervised process: started, its lines handed on, started again when it dies, given up when it keeps dying."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.processes.console import Console
from storage.errors import ForeactError

MAX_LINE_BYTES = 16_384


@dataclass(frozen=True)
class Program:
    """What to run, under which name, whether it ends by itself, and whether the others can do without it."""

    name: str
    command: tuple[str, ...]
    is_one_shot: bool = False
    is_dispensable: bool = False
    stop_s: float = 8.0


@dataclass(frozen=True)
class Restarts:
    """When a process that died is started again: at once after a long life, ever later after short ones."""

    first_s: float = 0.5
    longest_s: float = 20.0
    long_life_s: float = 20.0
    most: int = 6

    def delay_s(self, short_lives: int) -> float | None:
        """Return how long to wait after so many short lives in a row; None means give up."""
        if short_lives > self.most:
            return None
        return min(self.longest_s, self.first_s * 2.0 ** max(short_lives - 1, 0))


async def _nothing() -> None:
    return None


@dataclass
class Child:
    """A process under supervision; it runs in a session of its own, so that Ctrl-C reaches only the supervisor."""

    program: Program
    environment: Mapping[str, str]
    folder: Path
    console: Console
    on_line: Callable[[str], bool] = lambda _: False
    before_restart: Callable[[], Awaitable[None]] = _nothing
    restarts: Restarts = Restarts()
    process: asyncio.subprocess.Process | None = None
    last_line: str = ""
    is_stopping: bool = False
    _exited: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Keep the process running until it is stopped.

        Raises `process_gave_up` when it keeps dying; one that is dispensable is left away then.
        """
        short_lives = 0
        while not self.is_stopping:
            started_s = asyncio.get_running_loop().time()
            code = await self._live()
            if self.is_stopping or (self.program.is_one_shot and code == 0):
                return
            lived_s = asyncio.get_running_loop().time() - started_s
            short_lives = 1 if lived_s >= self.restarts.long_life_s else short_lives + 1
            delay_s = self.restarts.delay_s(short_lives)
            if delay_s is None and self.program.is_dispensable:
                self.console.line("foreact", f"{self._gave_up(short_lives)} Going on without it.")
                return
            if delay_s is None:
                raise self._gave_up(short_lives)
            self.console.line("foreact", f"{self.program.name} ended ({_ending(code)}); restarting in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            if not self.is_stopping:
                await self.before_restart()

    async def stop(self) -> None:
        """End the process: asked first, then by force."""
        self.is_stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            return
        _signal(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.program.stop_s)
        except TimeoutError:
            _signal(process.pid, signal.SIGKILL)
            await process.wait()

    def kill(self) -> None:
        """End the process by force; it will be started again."""
        if self.process is not None and self.process.returncode is None:
            _signal(self.process.pid, signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        """Return the process id, where there is a process."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def _live(self) -> int:
        self.process = await asyncio.create_subprocess_exec(
            *self.program.command,
            env=dict(self.environment),
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE if self.program.name == "guard" else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        # What a process started may hold its pipe open for ever, so its end is not waited for.
        pump = asyncio.create_task(self._pump(self.process.stdout))
        code = await self.process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pump, 1.0)
        return code

    async def _pump(self, pipe: asyncio.StreamReader) -> None:
        rest = b""
        while data := await pipe.read(65_536):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._handle(line.decode("utf-8", "replace"))
        if rest:
            self._handle(rest.decode("utf-8", "replace"))

    def _handle(self, line: str) -> None:
        if self.on_line(line):
            return
        if line.strip():
            self.last_line = line.strip()
        self.console.line(self.program.name, line)

    def _gave_up(self, short_lives: int) -> ForeactError:
        return ForeactError(
            "process_gave_up",
            f"{self.program.name} ended {short_lives} times in a row; its last line was: {self.last_line or 'none'}",
            f"See {self.program.name}.log in the log folder.",
            status=500,
        )


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
