"""The facade: REST interface, dashboard, host sampler, watcher, and the owner of the DuckDB file."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio.to_thread
import uvicorn
from fastapi import FastAPI

from api import error_responses, probes
from api.access import PREFIX, Caller, Door, refuse_open_doors
from api.background.cache_refresher import LOOK_EVERY_S, CacheRefresher
from api.background.file_watch import LOOK_EVERY_S as FILE_LOOK_EVERY_S
from api.background.file_watch import FileWatch
from api.background.notifier import Notifier
from api.background.sampler import Sampler, Worker
from api.background.schedule_keeper import LOOK_EVERY_S as LOOK_AT_SCHEDULE_EVERY_S
from api.background.schedule_keeper import ScheduleKeeper
from api.background.statsd_listener import StatsdListener
from api.background.tend_starter import TendStarter
from api.connections import limited
from api.dashboard import views
from api.facade import Facade
from api.middleware import RequestFilter
from api.prefect_client import PrefectTrigger, Trigger, authorization
from api.processes.preflight import check_port
from api.shared_answers import SharedAnswers
from handlers.sources.host import HostSampler
from handlers.support.top_consumers import ConsumerWatch
from plugins import modules_of
from settings import VERSION, Settings, settings_in_force, utc_now
from storage import ForeactError, Store, own_store
from storage.engine.local import LET_GO_EVERY_S, LocalEngine
from storage.private import mask_logs

THREADS = 16
"""Requests served at once: each thread holds a cursor of its own."""
ROOM_LOOK_S = 2.0
SWITCH_S = 0.0005
"""How long a thread that works may keep the interpreter from one that has a request to answer; Python's own is 5 ms."""


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    trigger: Trigger | None = None,
    clock: Callable[[], datetime] = utc_now,
    caller: Caller | None = None,
    changes: Callable[[], int] | None = None,
) -> FastAPI:
    """Return the application; it owns the database file while it runs, unless a store is given.

    All requests are of the `caller`, where a program serves itself. With `changes`, which counts what is written, those
    who ask the same within a moment share an answer.
    """
    app = FastAPI(
        title="foreact",
        version=VERSION,
        summary="Forecasts a system, sets its own goals before an objective breaks, acts, measures and learns.",
        lifespan=_lifespan(settings, store, trigger, clock),
        docs_url=None,
        redoc_url=None,
        responses=error_responses.documented(),
    )
    app.state.settings = settings
    error_responses.install(app)
    if changes is not None:
        app.add_middleware(SharedAnswers, changes=changes)
    app.add_middleware(RequestFilter, limits=settings.server, door=Door(settings, utc_now, caller))
    for module in modules_of("api.routes"):
        app.include_router(module.router, prefix=getattr(module, "PREFIX", PREFIX))
    app.include_router(probes.router)
    views.mount(app)
    return app


def _lifespan(
    settings: Settings, store: Store | None, trigger: Trigger | None, clock: Callable[[], datetime]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with AsyncExitStack() as stack:
            opened = store or stack.enter_context(own_store(settings.database_path))
            prefect = trigger or PrefectTrigger(settings.prefect_url, own=authorization(settings))
            if isinstance(prefect, PrefectTrigger):
                stack.callback(prefect.close)
            app.state.facade = Facade(settings, opened, prefect, clock, started_at=clock(), follows_file=True)
            for worker in [*_workers(app.state.facade), *_statsd(app.state.facade, stack)]:
                worker.start()
                stack.callback(worker.stop)
            yield

    return run


def _workers(facade: Facade) -> list[Worker]:
    """Return the threads beside the server, and let the facade know how to see whether they live."""
    settings = facade.settings
    sync_s = settings.agent.goal_sync_interval_seconds
    workers = {
        "tend_starter": Worker("tend_starter", sync_s, TendStarter(facade).step),
        "cache_refresher": Worker("cache_refresher", LOOK_EVERY_S, CacheRefresher(facade).step),
    }
    if isinstance(facade.trigger, PrefectTrigger):
        workers["notifier"] = Worker("notifier", sync_s, Notifier(facade).step)
        keeper = ScheduleKeeper(facade, facade.trigger)
        workers["schedule_keeper"] = Worker("schedule_keeper", LOOK_AT_SCHEDULE_EVERY_S, keeper.step)
    if settings.sampler.enabled:
        interval_s = settings.sampler.interval_seconds
        sampler = Sampler(HostSampler(), facade.store, facade.clock, interval_s, ConsumerWatch())
        workers["sampler"] = Worker("sampler", interval_s, sampler.step)
    if isinstance(facade.store.engine, LocalEngine) and facade.store.engine.served_at is not None:
        watch = FileWatch(facade.store.engine, settings.database_path)
        workers["file_watch"] = Worker("file_watch", FILE_LOOK_EVERY_S, watch.step)
        workers["memory"] = Worker("memory", LET_GO_EVERY_S, facade.store.engine.let_go)
    facade.checks.update({name: worker.is_running for name, worker in workers.items()})
    return list(workers.values())


def _own_when_there_is_room(path: Path) -> Store:
    """Open the database; while its disk is full, wait here for room: giving up would take the whole stack down."""
    is_told = False
    while True:
        try:
            return own_store(path)
        except ForeactError as refusal:
            if refusal.code != "disk_full":
                raise
            if not is_told:
                logging.getLogger(__name__).error("%s", refusal)
            is_told = True
            time.sleep(ROOM_LOOK_S)


def _statsd(facade: Facade, stack: AsyncExitStack) -> list[Worker]:
    """Listen for StatsD where the configuration says so; return the thread that writes what came."""
    server, interval_s = facade.settings.server, facade.settings.sampler.interval_seconds
    if not server.statsd_port:
        return []
    listener = StatsdListener(facade, server.statsd_host, server.statsd_port)
    stack.callback(listener.close)
    worker = Worker("statsd", interval_s, listener.step)
    facade.checks["statsd"] = worker.is_running
    return [worker]


def main() -> None:
    """Serve the facade of the folder that the environment names, until it is told to stop; a refusal is one line."""
    sys.setswitchinterval(SWITCH_S)
    os.umask(0o077)  # what the facade writes is its user's alone
    # uvicorn ends as its signal asks, which would end this process before the database is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    settings = settings_in_force()
    mask_logs(settings.secrets())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        refuse_open_doors(settings, utc_now())
        check_port(settings.server.host, settings.server.port, "server.port", "dashboard and API")
        with _own_when_there_is_room(settings.database_path) as store:
            app = create_app(settings, store=store, changes=lambda: store.changes)
            # All that was loaded stays: the collector, which a long list of samples wakes, need not look through it.
            gc.freeze()
            uvicorn.run(
                app,
                host=settings.server.host,
                port=settings.server.port,
                http=limited(settings.server.max_connections, settings.server.body_timeout_seconds),
                ws="none",
                # A program here could say with a header that it is at another one's end of a connection.
                proxy_headers=False,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=5,
            )
    except ForeactError as refusal:
        raise SystemExit(f"foreact: {refusal}") from None


if __name__ == "__main__":
    main()
