"""The checks of `foreact doctor`: one line each, with a remedy if something is wrong."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from api.prefect_client import authorization
from api.processes.layout import POOL, Layout
from api.processes.preflight import is_running, port_trouble, unread_in
from cli import diagnosis
from cli.client import is_served
from cli.diagnosis import Finding
from settings import Settings, utc_now
from storage import Store
from storage.errors import ForeactError, TransientError
from storage.facts import DRILLS, TROUBLES, Drill
from storage.private import masked

LEAST_FREE_BYTES = 500_000_000
MOST_OUTCOMES = 200
CYCLES_LOOKED_AT, LAST_STAGE = 50, "execute"


@dataclass(frozen=True)
class Check:
    """The result of one check; `remedy` is a command or a line of foreact.toml."""

    what: str
    finding: Finding
    text: str
    remedy: str = ""


def examine(layout: Layout) -> Iterator[Check]:
    """Check everything that foreact needs, told without secrets; a check that raises an error is a finding, too."""
    secrets = layout.settings.secrets()
    for check in _checks(layout):
        yield replace(check, text=masked(check.text, secrets))


def _checks(layout: Layout) -> Iterator[Check]:
    for what, look in _LOOKS:
        try:
            yield Check(what, *look(layout))
        except ForeactError as trouble:
            yield Check(what, "wrong", str(trouble))
        except Exception as trouble:
            yield Check(what, "wrong", f"{type(trouble).__name__}: {trouble}".splitlines()[0])
    yield from _misspelt(layout.settings)
    yield from _actions(layout)
    yield from _chain(layout)


def _chain(layout: Layout) -> Iterator[Check]:
    """Say why there are no goals, no acts and nothing learned, where that is so."""
    from storage import open_store

    try:
        # Where nothing was ever recorded nothing is written by looking.
        file = layout.settings.database_path
        with open_store(file if file.exists() else ":memory:") as store:
            state = loop_state(layout.settings, store, utc_now(), is_running(layout))
            walks = (diagnosis.why_no_goals, diagnosis.why_not_acted, diagnosis.why_nothing_learned)
            causes = [walk(state) for walk in walks]
    except (ForeactError, TransientError) as trouble:
        yield Check("goals", "wrong", f"the store cannot be read: {trouble}")
        return
    for what, cause in zip(("goals", "acts", "learning"), causes, strict=True):
        yield Check(what, cause.finding, cause.text, cause.remedy)


def loop_state(settings: Settings, store: Store, now: datetime, is_running: bool) -> diagnosis.LoopState:
    """Read what there is of every link between samples and what was learned."""
    from handlers import discover_actions
    from storage.facts import WAITS
    from tasks.authority import as_it_stands, is_switched_on
    from tasks.configured_actions import configured_actions
    from tasks.drivers.in_force import breaches_in_force
    from tasks.interventions.act_window import horizon_ends_at
    from tasks.objectives.in_force import BY_PEOPLE, objectives_in_force, objectives_with_origin

    since, cycle_id = now - diagnosis.LATELY, store.forecasts.latest_cycle()
    actions, opened = configured_actions(settings, discover_actions()), store.goals.open()
    given = objectives_with_origin(settings, store)
    newest = (store.decisions.of_goal(view.goal.goal_id, limit=1) for view in opened)
    waits = store.facts.get(WAITS)
    unmeasured = [view for view in store.actions.unmeasured() if view.action.series is not None]
    return diagnosis.LoopState(
        settings=settings,
        now=now,
        is_running=is_running,
        is_switched_on=is_switched_on(settings, store),
        known_series=len(store.samples.known()),
        spans=store.samples.spans(since, now),
        objectives=objectives_in_force(settings, store),
        by_people={name for name, (_, origin) in given.items() if origin in BY_PEOPLE},
        cycles=store.cycles.count(),
        broken_off=_broken_off(store),
        refusals={} if cycle_id is None else {each.series: each.refusal for each in store.forecasts.of_cycle(cycle_id)},
        breaches=() if cycle_id is None else breaches_in_force(store, cycle_id),
        open_goals=opened,
        ended_goals=sum(store.goals.counts().values()) - len(opened),
        decisions=[decision for found in newest for decision in found],
        pending=[as_it_stands(settings, actions, store, view) for view in store.actions.pending()],
        waits=waits or {},
        finished=store.actions.finished(since),
        actions=actions,
        windows={
            view.action.action_id: horizon_ends_at(view.action, view.receipt) for view in unmeasured if view.receipt
        },
        outcomes=store.outcomes.targets(newest=MOST_OUTCOMES),
    )


def _broken_off(store: Store) -> diagnosis.BrokenOff | None:
    """Return what became of the newest cycle, where it has not ended and one before it has."""
    newest = store.cycles.latest(CYCLES_LOOKED_AT, whole=True)
    stages = [[each["stage"] for each in store.cycles.stages(cycle.cycle_id)] for cycle in newest]
    ended = [cycle.tick for cycle, names in zip(newest, stages, strict=True) if LAST_STAGE in names]
    if not ended or LAST_STAGE in stages[0]:
        return None
    return diagnosis.BrokenOff(ended[0], stages[0])


def drills(settings: Settings) -> Iterator[Check]:
    """Run and undo every action with a safe target, store the results, and end with the share that passed."""
    from api.prefect_client import our_blocks
    from flows.wiring import open_configured_store
    from handlers import discover_actions
    from handlers.drills import practise_all
    from tasks.configured_actions import configured_actions

    actions = sorted(configured_actions(settings, discover_actions(settings.folder, [])).items())
    enabled = [each for _, each in actions if each.enabled]
    words: dict[str, Finding] = {"passed": "ok", "failed": "wrong", "no target": "note"}
    done: list[Drill] = []
    with open_configured_store(settings) as store:
        for drill in practise_all(enabled, utc_now(), our_blocks(settings).resolved):
            store.facts.set(DRILLS.of(drill.action), drill, "doctor")
            verb = "drill failed" if drill.finding == "failed" else "drilled"
            store.audit.append("doctor", verb, drill.action, asdict(drill))
            done.append(drill)
            yield Check(f"drill {drill.action}", words[drill.finding], drill.detail)
    yield _share(done)


def _share(done: Sequence[Drill]) -> Check:
    from handlers.drills import DrillReport

    ratio = DrillReport(tuple(done)).success_ratio
    tried = sum(drill.finding != "no target" for drill in done)
    if ratio is None:
        return Check("drills", "note", "no action has a safe target here")
    return Check("drills", "ok" if ratio == 1 else "wrong", f"{ratio:.0%} of {tried} actions ran and were undone")


def _python(layout: Layout) -> tuple[Finding, str]:
    return ("ok" if sys.version_info >= (3, 11) else "wrong"), f"{sys.version.split()[0]} at {sys.executable}"


def _versions(layout: Layout) -> tuple[Finding, str]:
    from packaging.requirements import Requirement

    try:
        required = [Requirement(text) for text in importlib.metadata.requires("foreact") or []]
    except importlib.metadata.PackageNotFoundError:
        return "note", "foreact is not installed as a package, so versions cannot be checked; run `make install`"
    needed = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [f"{each.name} {installed} instead of {each.specifier}" for each in needed if (installed := _differs(each))]
    if wrong:
        return "wrong", f"{'; '.join(wrong)}. Run `make install`."
    return "ok", f"{len(needed)} packages as pinned; prefect {importlib.metadata.version('prefect')}"


def _differs(requirement: Any) -> str | None:
    try:
        installed = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
    return None if requirement.specifier.contains(installed, prereleases=True) else installed


def _configuration(layout: Layout) -> tuple[Finding, str]:
    if layout.settings.trouble:
        return "wrong", f"{layout.settings.trouble} Until then the last usable one applies."
    file = layout.folder / "foreact.toml"
    where = str(file) if file.exists() else f"no {file.name} in {layout.folder}, so the defaults apply"
    return "ok", f"{where} (hash {layout.settings.hash})"


def _methods(layout: Layout) -> tuple[Finding, str]:
    from tasks.forecast.model_store import configured

    serving = configured(layout.settings)
    wrong = serving.wrong_methods()
    if wrong:
        return "wrong", "; ".join(f"{metric}: {trouble}" for metric, trouble in sorted(wrong.items()))
    own = {metric: serving.method_of(metric).name for metric in sorted(serving.per_metric)}
    return "ok", ", ".join([serving.default, *(f"{method} for {metric}" for metric, method in own.items())])


def _home(layout: Layout) -> tuple[Finding, str]:
    place = next(folder for folder in (layout.home, *layout.home.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return "wrong", f"{place} is not writable. Choose another folder with FOREACT_HOME."
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE_BYTES:
        return "wrong", f"{place} has only {free / 1e6:.0f} MB left."
    return "ok", f"{layout.home}, {free / 1e9:.0f} GB free"


def _ports(layout: Layout) -> tuple[Finding, str]:
    server = layout.settings.server
    ports = [(server.host, server.port), *([(server.prefect_host, server.prefect_port)] if layout.owns_server else [])]
    shown = " and ".join(str(port) for _, port in ports)
    if is_running(layout):
        return "ok", f"{shown}, used by this folder's stack"
    trouble = {port: why for host, port in ports if (why := port_trouble(host, port))}
    if trouble:
        in_use = "; ".join(f"{port}: {why}" for port, why in trouble.items())
        return "wrong", f"{in_use}. Set `server.port` or `server.prefect_port` in foreact.toml."
    return "ok", f"{shown} are free"


def _database(layout: Layout) -> tuple[Finding, str]:
    from storage import own_store

    with tempfile.TemporaryDirectory() as folder, own_store(Path(folder) / "probe.duckdb") as probe:
        probe.engine.rows("SELECT 1")
    return "ok", f"DuckDB {importlib.metadata.version('duckdb')} and its extensions load locally"


def _store(layout: Layout) -> tuple[Finding, str]:
    from storage import open_store

    if not layout.settings.database_path.exists():
        return "note", "nothing recorded yet"
    now = utc_now()
    with open_store(layout.settings.database_path) as store:
        broken = store.audit.first_broken_line()
        newest = max((ts for ts, _ in store.samples.latest(now - timedelta(days=1)).values()), default=None)
    if broken is not None:
        return "wrong", f"the audit trail was changed at line {broken}"
    if newest is not None and newest > now + timedelta(minutes=1):
        return "wrong", f"the newest sample is from {newest:%Y-%m-%d %H:%M:%S}: this machine's clock was set back"
    return "ok", f"the audit trail is intact; newest sample {newest:%H:%M:%S} UTC" if newest else "no recent samples"


def _names(layout: Layout) -> tuple[Finding, str]:
    from storage import open_store
    from tasks.objectives.in_force import said_of_names

    if not layout.settings.database_path.exists():
        return "note", "nothing recorded yet"
    with open_store(layout.settings.database_path) as store:
        said = said_of_names(layout.settings, store)
    if not said:
        return "ok", "objectives and actions name what is recorded"
    return "wrong" if any("did you mean" in each for each in said) else "note", " ".join(said)


def _trees(layout: Layout) -> tuple[Finding, str]:
    from storage import open_store
    from tasks.objectives.in_force import said_of_trees

    file = layout.settings.database_path
    with open_store(file if file.exists() else ":memory:") as store:
        said = said_of_trees(layout.settings, store)
    return ("wrong", " ".join(said)) if said else ("ok", "objectives form trees, and their budgets can be shared")


def _sources(layout: Layout) -> tuple[Finding, str]:
    from storage import open_store

    if not layout.settings.database_path.exists():
        return "note", "nothing recorded yet"
    with open_store(layout.settings.database_path) as store:
        troubles = store.facts.get(TROUBLES) or ()
    return ("wrong", "; ".join(troubles)) if troubles else ("ok", "the last turn could read all of them")


def _clock(layout: Layout) -> tuple[Finding, str]:
    now = utc_now()
    built = Path(__file__).stat().st_mtime
    if now.timestamp() < built - 86_400:
        return "wrong", f"{now:%Y-%m-%d %H:%M:%S} UTC is before these files were written: correct the clock"
    return "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC"


def _prefect(layout: Layout) -> tuple[Finding, str]:
    url = layout.settings.prefect_url.rstrip("/")
    try:
        answer = httpx.get(f"{url}/health", timeout=5, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as trouble:
        expected = is_running(layout) or not layout.owns_server
        return ("wrong" if expected else "note"), f"{url} does not answer ({type(trouble).__name__})"
    pool = httpx.get(f"{url}/work_pools/{POOL}", timeout=5, trust_env=False, headers=authorization(layout.settings))
    if pool.is_error:
        return "wrong", f"{url} answers, but has no work pool {POOL}"
    state = pool.json().get("status", "unknown")
    return ("ok" if state == "READY" else "note"), f"{url} answers; work pool {POOL} is {state.lower()}"


def _facade(layout: Layout) -> tuple[Finding, str]:
    if is_served(layout.facade_url):
        return "ok", f"{layout.facade_url} answers"
    return ("wrong" if is_running(layout) else "note"), f"{layout.facade_url} does not answer"


def _stop_file(layout: Layout) -> tuple[Finding, str]:
    path = layout.settings.kill_switch_path
    return ("note", f"{path} exists: foreact does nothing until it is removed") if path.exists() else ("ok", "not set")


def _misspelt(settings: Settings) -> Iterator[Check]:
    for sentence in unread_in(settings):
        yield Check("configuration", "wrong", sentence)


DOUBT_REMEDY = "change requires or provides under [actions.NAME] in foreact.toml, or in the action itself"


def _actions(layout: Layout) -> Iterator[Check]:
    from handlers import discover_actions
    from tasks.configured_actions import configured_actions
    from tasks.interventions.declared_facts import doubts_about

    # What cannot be imported is told of as a finding of its own.
    configured = configured_actions(layout.settings, discover_actions(layout.settings.folder, []))
    for name, handler in sorted((name, each) for name, each in configured.items() if each.is_carried_out_here):
        if not handler.enabled:
            yield Check(f"action {name}", "ok", "disabled")
            continue
        permitted = handler.hooks.undo_permitted
        if handler.hooks.undo is not None and permitted is not None and not permitted():
            text = f"level {handler.level}; this user can run it but not undo it, so it never exceeds approve"
            yield Check(f"action {name}", "note", text)
            continue
        nature = "only reports" if handler.informs_only else "reversible" if handler.reversible else "cannot be undone"
        idle = "" if handler.is_ready else f"; proposes nothing without {' or '.join(handler.needs)}"
        limits = f"{'; dry run' if handler.dry_run else ''}{idle}"
        yield Check(f"action {name}", "ok", f"level {handler.level}; {nature}{limits}")
    for sentence in doubts_about(configured):
        yield Check("composed plans", "wrong", sentence, DOUBT_REMEDY)


_LOOKS: tuple[tuple[str, Callable[[Layout], tuple[Finding, str]]], ...] = (
    ("python", _python),
    ("versions", _versions),
    ("configuration", _configuration),
    ("forecasters", _methods),
    ("home", _home),
    ("ports", _ports),
    ("database", _database),
    ("store", _store),
    ("names", _names),
    ("objectives", _trees),
    ("sources", _sources),
    ("clock", _clock),
    ("prefect", _prefect),
    ("facade", _facade),
    ("kill switch", _stop_file),
)
