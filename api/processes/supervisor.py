"""The process group: what starts when, what is watched meanwhile, and in which order it stops."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from api.processes.console import Console
from api.processes.flow_log import follow
from api.processes.layout import POOL, Layout, process_environment, python
from api.processes.living import members
from api.processes.prefect_rest import PrefectRest
from api.processes.program import Child, Program
from api.processes.reap import end_left, end_missed, reap, reap_all
from settings import Settings, utc_now
from storage.errors import ForeactError

REAP_EVERY_S = 10.0
READY_TIMEOUT_S = 180.0
DRAIN_S = 10.0
HEALTH_EVERY_S = 15.0
HEALTH_TIMEOUT_S = 5.0
HEALTH_MISSES = 4
POOL_READY = "@pool-ready"
FIRST_CYCLE = "@first-cycle "


@dataclass
class Supervisor:
    """Everything that runs for one folder."""

    layout: Layout
    console: Console
    prefect: PrefectRest
    children: dict[str, Child] = field(default_factory=dict)
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    pool_ready: asyncio.Event = field(default_factory=asyncio.Event)
    first_cycle: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    started_at: datetime = field(default_factory=utc_now)

    async def run(self) -> None:
        """Start all, watch until a signal asks to stop, stop all; raises what made it impossible to go on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        work = asyncio.create_task(self._work())
        asked = asyncio.create_task(self.stop_asked.wait())
        try:
            await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        except ExceptionGroup as troubles:
            # Not `except*`: what is raised in there comes as a group again in Python 3.11.2, which is Debian's.
            refused, other = troubles.split(ForeactError)
            if refused is None or other is not None:
                raise
            raise refused.exceptions[0] from None
        finally:
            asked.cancel()
            await self._stop(work)

    def _signalled(self) -> None:
        if self.stop_asked.is_set():
            self.hurry.set()
        self.stop_asked.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._make_children()
            for name in ("guard", "server", "facade", "setup"):
                if name in self.children:
                    group.create_task(self.children[name].run())
            group.create_task(follow(self.layout.flow_log, lambda line: self.console.line("flows", line, keep=False)))
            await self._ready("the Prefect server", f"{self.layout.settings.prefect_url.rstrip('/')}/health")
            # What it imports must not keep the server waiting, and is there before the first run.
            group.create_task(self.children["engine"].run())
            await self.pool_ready.wait()
            await self._reap_earlier_life()
            group.create_task(self.children["worker"].run())
            await self._ready("the facade", f"{self.layout.facade_url}/healthz")
            self._announce()
            group.create_task(self._watch_first_cycle())
            group.create_task(self._reap_for_ever())
            group.create_task(self._end_what_hangs())

    def _make_children(self) -> None:
        environment = process_environment(self.layout)
        for program in programs(self.layout):
            self.children[program.name] = Child(program, environment, self.layout.folder, self.console)
        self.children["setup"].on_line = self._heard_from_setup
        self.children["worker"].before_restart = self._end_missed

    def _heard_from_setup(self, line: str) -> bool:
        if line.startswith(POOL_READY):
            self.pool_ready.set()
            return True
        if line.startswith(FIRST_CYCLE):
            if not self.first_cycle.done():
                self.first_cycle.set_result(line.removeprefix(FIRST_CYCLE).strip())
            return True
        return False

    async def _ready(self, what: str, url: str) -> None:
        deadline_s = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
            while asyncio.get_running_loop().time() < deadline_s:
                if await _answers(client, url):
                    return
                await asyncio.sleep(0.1)
        raise ForeactError(
            "not_ready",
            f"{what} did not answer at {url} within {READY_TIMEOUT_S:.0f} s.",
            f"See {self.layout.logs}.",
            status=504,
        )

    async def _watch_first_cycle(self) -> None:
        """Say when a cycle has finished for the first time: the one asked for, or a scheduled one that came before."""
        deployment_id, reported = await self.first_cycle, set[str]()
        while "COMPLETED" not in reported:
            with contextlib.suppress(httpx.HTTPError):
                for state in await self.prefect.ended(deployment_id, self.started_at) - reported:
                    reported.add(state)
                    elapsed_s = (utc_now() - self.started_at).total_seconds()
                    self._say(f"first cycle {state.lower()} {elapsed_s:.0f} s after the start")
            await asyncio.sleep(1)

    async def _reap_earlier_life(self) -> None:
        with contextlib.suppress(httpx.HTTPError):
            left, missed = await reap_all(self.prefect, utc_now())
            if left or missed:
                self._say(f"ended {left} runs left over from the last start, and {missed} missed ones")

    async def _end_what_hangs(self) -> None:
        """End a server or facade that lives but has stopped answering; it is then started again."""
        urls = {
            "facade": f"{self.layout.facade_url}/healthz",
            "server": f"{self.layout.settings.prefect_url.rstrip('/')}/health",
        }
        misses = dict.fromkeys(urls, 0)
        async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, trust_env=False) as client:
            while True:
                await asyncio.sleep(HEALTH_EVERY_S)
                for name in [name for name in urls if name in self.children]:
                    misses[name] = 0 if await _answers(client, urls[name]) else misses[name] + 1
                    if misses[name] >= HEALTH_MISSES:
                        self._say(f"{name} has not answered for {HEALTH_MISSES * HEALTH_EVERY_S:.0f} s; ending it")
                        self.children[name].kill()
                        misses[name] = 0

    async def _reap_for_ever(self) -> None:
        suspects: frozenset[str] = frozenset()
        while True:
            await asyncio.sleep(REAP_EVERY_S)
            verdict = await reap(self.prefect, members(self.layout.token), self.children["worker"].pid, suspects)
            suspects = verdict.suspects
            for run in (*verdict.crashed, *verdict.cancelled):
                self._say(f"run {run.name} had no process any more and was ended")

    async def _end_missed(self) -> None:
        """Of the runs missed while there was no worker keep the newest: a new worker would start them all."""
        with contextlib.suppress(httpx.HTTPError):
            await end_missed(self.prefect, utc_now())

    def _announce(self) -> None:
        settings = self.layout.settings
        sampled = f" (about {_span(30 * settings.sampler.interval_seconds)} for this machine's own)"
        for line in (
            f"dashboard and API  {self.layout.facade_url}/",
            f"API documentation  {self.layout.facade_url}/docs",
            f"Prefect UI         {self.layout.prefect_ui_url}",
            f"Next: {_cycles_to_come(settings)}. A metric is forecast from 30 samples",
            f"on{sampled if settings.sampler.enabled else ''}; logs in {self.layout.logs}; Ctrl-C stops everything.",
        ):
            self._say(line)

    async def _stop(self, work: asyncio.Task[None]) -> None:
        self._say("stopping (Ctrl-C again: immediately)")
        for child in self.children.values():
            child.is_stopping = True
        with contextlib.suppress(httpx.HTTPError, TimeoutError):
            await asyncio.wait_for(self._drain(), DRAIN_S + 5)
        for name in ("setup", "worker", "engine", "facade", "server"):
            if name in self.children:
                await self.children[name].stop()
        await self._dismiss_guard()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await work
        await self.prefect.close()
        self._say("stopped")

    async def _drain(self) -> None:
        """Start nothing new, give what runs a few seconds, and end the rest."""
        if not self.pool_ready.is_set() or not await self.prefect.is_healthy():
            return
        await self.prefect.pause_pool(True)
        deadline_s = asyncio.get_running_loop().time() + DRAIN_S
        while (left := await self.prefect.unfinished()) and not self.hurry.is_set():
            if asyncio.get_running_loop().time() > deadline_s:
                break
            await asyncio.sleep(0.3)
        await end_left(self.prefect, left)

    async def _dismiss_guard(self) -> None:
        guard = self.children.get("guard")
        if guard is None or guard.process is None or guard.process.stdin is None:
            return
        guard.process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(guard.process.wait(), 10)

    def _say(self, text: str) -> None:
        self.console.line("foreact", text)


def _cycles_to_come(settings: Settings) -> str:
    if not settings.forecasting.auto_analysis_enabled:
        return "a cycle on request (foreact cycle), because auto_analysis_enabled is false"
    return f"a first cycle now, then one every {_span(settings.analysis_interval_s)}"


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False


def programs(layout: Layout) -> list[Program]:
    """Return what a stack consists of."""
    server = layout.settings.server
    programs_to_run = [
        Program("guard", python("-m", "api.processes.guard", layout.token)),
        Program("facade", python("-m", "api.app")),
        Program("setup", python("-m", "api.processes.register"), is_one_shot=True),
        # Without it every run imports for itself, so that a folder which takes no socket stops nothing.
        Program(
            "engine",
            python("-m", "flows.engine", str(layout.engine_socket)),
            is_one_shot=True,
            is_dispensable=True,
        ),
        Program("worker", python("-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process")),
    ]
    if layout.owns_server:
        own_server = python("-m", "api.processes.prefect_server", server.prefect_host, str(server.prefect_port))
        programs_to_run.append(Program("server", own_server))
    return programs_to_run
