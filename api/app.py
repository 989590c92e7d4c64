"""The facade: REST interface, dashboard, host sampler, watcher, and the owner of the DuckDB file."""

from __future__ import annotations

import ipaddress
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime

import anyio.to_thread
import uvicorn
from fastapi import FastAPI

from api import error_responses, probes
from api.background.cache_refresher import LOOK_EVERY_S, CacheRefresher
from api.background.notifier import Notifier
from api.background.sampler import Sampler, Worker
from api.background.tend_starter import TendStarter
from api.dashboard import views
from api.facade import Facade
from api.middleware import RequestFilter
from api.prefect_client import PrefectTrigger, Trigger
from handlers.sources.host import HostSampler
from plugins import modules_of
from settings import VERSION, Settings, settings_in_force, utc_now
from storage import ForeactError, Store, own_store

PREFIX = "/api/autonomous"
THREADS = 16
"""Requests served at once: each thread holds a cursor of its own."""
SWITCH_S = 0.0005
"""How long a thread that works may keep the interpreter from one that has a request to answer; Python's own is 5 ms."""


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    trigger: Trigger | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """Return the application; it owns the database file while it runs, unless a store is given."""
    app = FastAPI(
        title="foreact",
        version=VERSION,
        summary="Forecasts a system, sets its own goals before an objective breaks, acts, measures and learns.",
        lifespan=_lifespan(settings, store, trigger, clock),
        docs_url=None,
        redoc_url=None,
        responses=error_responses.documented(),
    )
    error_responses.install(app)
    app.add_middleware(
        RequestFilter, max_body_bytes=settings.server.max_body_bytes, is_loopback=_is_loopback(settings.server.host)
    )
    for module in modules_of("api.routes"):
        app.include_router(module.router, prefix=PREFIX)
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
            prefect = trigger or PrefectTrigger(settings.prefect_url)
            if isinstance(prefect, PrefectTrigger):
                stack.callback(prefect.close)
            app.state.facade = Facade(settings, opened, prefect, clock, started_at=clock(), follows_file=True)
            for worker in _workers(app.state.facade):
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
    if settings.sampler.enabled:
        interval_s = settings.sampler.interval_seconds
        sampler = Sampler(HostSampler(), facade.store, facade.clock, interval_s)
        workers["sampler"] = Worker("sampler", interval_s, sampler.step)
    facade.checks.update({name: worker.is_running for name, worker in workers.items()})
    return list(workers.values())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serve the facade of the folder that the environment names, until it is told to stop; a refusal is one line."""
    sys.setswitchinterval(SWITCH_S)
    # uvicorn ends as its signal asks, which would end this process before the database is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    settings = settings_in_force()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with own_store(settings.database_path) as store:
            uvicorn.run(
                create_app(settings, store=store),
                host=settings.server.host,
                port=settings.server.port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=5,
            )
    except ForeactError as refusal:
        raise SystemExit(f"foreact: {refusal}") from None


if __name__ == "__main__":
    main()
