"""Restart a container, or change how much CPU and memory it may use, through the HTTP interface of Docker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.contract.action import AMOUNT, ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError
from handlers.support.http_calls import ask, client_of, refused

if TYPE_CHECKING:
    import httpx
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

HOST = "unix:///var/run/docker.sock"
OPERATIONS = ("restart", "resources")
NAME = re.compile(r"[a-zA-Z0-9][\w.-]*")
LEAST_MEMORY_MB = 6
MEBIBYTE = 2**20
NANO = 1_000_000_000
STOP_TIMEOUT_S = 10.0
REMEDY = "Set container, or a pattern under containers, for [actions.docker_container] in foreact.toml."
REMEDIES = {
    403: "What stands between foreact and Docker does not allow this: allow it there.",
    404: "Correct its name; `docker ps --all` lists them.",
}


class _NotAllowedError(CallFailedError):
    """What is asked for is not allowed; the message says why."""


def _can_be_undone(options: Params) -> bool:
    return options.get("operation") == "resources"


def _model(options: Params) -> type[BaseModel]:
    from pydantic import Field, create_model

    cpus = Field(None, gt=0, le=float(options.get("most_cpus", 1_000)), description="CPUs that it may use, as in 1.5")
    memory = Field(
        None, ge=LEAST_MEMORY_MB, le=float(options.get("most_memory_mb", 10_000_000)), description="memory in MiB"
    )
    return create_model(
        "ContainerParameters",
        container=(str | None, Field(None, max_length=255, description="its name; the configured one where left out")),
        cpus=(float | None, cpus),
        memory_mb=(float | None, memory),
        amount=(float | None, Field(None, gt=0, description="how much of `amount_of`, as planned")),
    )


@action(
    name="docker_container",
    default_level="approve",
    undo_with=_can_be_undone,
    risk="high",
    timeout_s=90.0,
    cooldown_s=600.0,
    rate_limits=("4/hour", "20/day"),
    latency_s=30.0,
    cost=0.1,
    explains_dry_run=True,
    needs=("container", "containers"),
    parameters=_model,
    options={
        "container": "the container that is proposed, by name",
        "containers": "glob patterns of other containers that parameters may name",
        "operation": "restart or resources; restart. Only resources can be undone",
        "cpus": "CPUs that are proposed, as in 1.5",
        "memory_mb": "memory that is proposed, in MiB",
        "most_cpus": "most CPUs that parameters may name",
        "most_memory_mb": "most memory that parameters may name",
        "amount_of": "what a planned amount is of: cpus or memory_mb; cpus",
        "host": "unix:///path of the socket, or http:// address of a proxy before it; unix:///var/run/docker.sock",
        "stop_timeout_s": "seconds that a container gets to stop by itself; 10",
        "timeout_s": "seconds to wait for an answer; 60",
    },
    example_params={"container": "web", "cpus": 1.5},
)
def docker_container(params: Params, context: ActionContext) -> ActionResult:
    """Restart an allowed container, or set the CPUs and the memory that it may use while it runs on."""
    try:
        name, is_restart = _container(params, context), _operation(context) == "restart"
        with _client(context.options) as client:
            before = _inspect(client, name)
            if is_restart:
                return _restarted(client, name, before, context)
            wanted = _wanted(params, before, context)
            if wanted.items() <= before["resources"].items():
                return ActionResult(True, f"{name} has {_in_words(wanted)} already.", skipped=True)
            if context.dry_run:
                return ActionResult(True, f"Dry run: would give {name} {_in_words(wanted)}.")
            warnings = _update(client, name, wanted)
            detail = f"{name} may now use {_in_words(wanted)}; before it was {_in_words(before['resources'])}."
            return ActionResult(True, detail, evidence={"before": before["resources"], "warnings": warnings})
    except _NotAllowedError as refusal:
        return ActionResult(False, f"Refused: {refusal}", skipped=not context.options.get("container"))


@docker_container.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    if not (context.options.get("container") or context.options.get("containers")):
        return {}
    with _client(context.options) as client:
        before = _inspect(client, _container(params, context))
        is_resources = _operation(context) == "resources"
        return {**before, "wanted": _wanted(params, before, context) if is_resources else {}}


@docker_container.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    with _client(context.options) as client:
        now = _inspect(client, _container(params, context))
    if _operation(context) == "restart":
        is_new = now["started_at"] != before["started_at"]
        return "skipped" if not is_new else "succeeded" if now["status"] == "running" else "unknown"
    if before["wanted"].items() <= now["resources"].items():
        return "succeeded"
    return "skipped" if now["resources"] == before["resources"] else "unknown"


@docker_container.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    """Give back what it might use before; where that was all, Docker can only be told how much all is."""
    if _operation(context) != "resources" or "resources" not in before:
        return ActionResult(False, "A restart cannot be undone.")
    name = _container(params, context)
    with _client(context.options) as client:
        earlier = _as_settable(client, before["resources"], before["wanted"])
        if earlier.items() <= _inspect(client, name)["resources"].items():
            return ActionResult(True, f"{name} has {_in_words(earlier)} again.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: would give {name} {_in_words(earlier)} again.")
        _update(client, name, earlier)
        return ActionResult(True, f"{name} may use {_in_words(earlier)} again.")


@docker_container.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    options = context.options
    if not options.get("container"):
        return []
    given = {key: options[key] for key in ("cpus", "memory_mb") if key in options and _can_be_undone(options)}
    params = {"container": str(options["container"]), **given}
    return [Candidate(action="docker_container", params=params, target=f"container:{options['container']}")]


def _restarted(client: httpx.Client, name: str, before: Mapping[str, Any], context: ActionContext) -> ActionResult:
    if context.dry_run:
        return ActionResult(True, f"Dry run: would restart {name}, which is {before['status']}.")
    stop_s = max(0, int(float(context.options.get("stop_timeout_s", STOP_TIMEOUT_S))))
    _good(ask(client, "POST", f"/containers/{name}/restart", params={"t": stop_s}))
    now = _inspect(client, name)
    is_up = now["status"] == "running" and now["started_at"] != before["started_at"]
    detail = f"Restarted {name}: it is {now['status']}."
    return ActionResult(is_up, detail, evidence={"before": before["started_at"], "now": now["started_at"]})


def _inspect(client: httpx.Client, name: str) -> dict[str, Any]:
    content = _good(ask(client, "GET", f"/containers/{name}/json")).json()
    # Inside a container the host's name is the beginning of its id, unless it was named otherwise.
    if _own_name() and str(content["Id"]).startswith(_own_name()):
        raise _NotAllowedError(f"the container {name} runs foreact itself.")
    limits = {key: int(content["HostConfig"].get(key) or 0) for key in ("NanoCpus", "Memory", "MemorySwap")}
    if content["HostConfig"].get("CpuQuota"):
        limits["CpuQuota"] = int(content["HostConfig"]["CpuQuota"])
    state = content["State"]
    return {"status": str(state["Status"]), "started_at": str(state["StartedAt"]), "resources": limits}


def _wanted(params: Params, before: Mapping[str, Any], context: ActionContext) -> dict[str, int]:
    """Return what to set, as Docker counts it; swap keeps its distance from memory, or has no limit of its own."""
    if before["resources"].get("CpuQuota"):
        raise _NotAllowedError("it was started with --cpu-quota, which Docker does not change to CPUs.")
    given = {key: params[key] for key in ("cpus", "memory_mb") if params.get(key) is not None}
    if params.get(AMOUNT) is not None:
        given[str(context.options.get("amount_of", "cpus"))] = params[AMOUNT]
    if not given or not given.keys() <= {"cpus", "memory_mb"}:
        raise _NotAllowedError("nobody says how much: set cpus or memory_mb, or `sets` and `amounts`.")
    wanted: dict[str, int] = {}
    if "cpus" in given:
        wanted["NanoCpus"] = round(given["cpus"] * NANO)
    if "memory_mb" in given:
        memory, swap, earlier = round(given["memory_mb"] * MEBIBYTE), before["resources"]["MemorySwap"], before
        held = earlier["resources"]["Memory"]
        wanted |= {"Memory": memory, "MemorySwap": memory + swap - held if swap > 0 and held else -1}
    return wanted


def _as_settable(client: httpx.Client, earlier: Mapping[str, int], set_: Mapping[str, int]) -> dict[str, int]:
    """Return earlier limits as an update takes them: it reads 0 as `as it is`, so no limit is the whole machine."""
    machine = _good(ask(client, "GET", "/info")).json()
    whole = {"NanoCpus": int(machine["NCPU"]) * NANO, "Memory": int(machine["MemTotal"]), "MemorySwap": -1}
    return {key: earlier[key] or whole[key] for key in whole if key in set_}


def _update(client: httpx.Client, name: str, limits: Mapping[str, int]) -> list[str]:
    answer = _good(ask(client, "POST", f"/containers/{name}/update", json=dict(limits))).json()
    return [str(warning) for warning in answer.get("Warnings") or ()]


def _good(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise refused(response, REMEDIES.get(response.status_code, ""))
    return response


def _client(options: Params) -> httpx.Client:
    host = str(options.get("host") or HOST)
    uds = host.removeprefix("unix://") if host.startswith("unix://") else None
    if uds is not None and not Path(uds).is_socket():
        raise CallFailedError(f"Docker does not listen at {uds}. Start it, or set host for [actions.docker_container].")
    client = client_of({"timeout_s": 60.0, **options}, uds=uds)
    client.base_url = "http://docker" if uds else host.replace("tcp://", "http://")
    return client


def _operation(context: ActionContext) -> str:
    operation = str(context.options.get("operation", "restart"))
    if operation not in OPERATIONS:
        raise _NotAllowedError(f"operation = {operation!r} is none of {', '.join(OPERATIONS)}.")
    return operation


def _container(params: Params, context: ActionContext) -> str:
    """Return the container that is meant, if it may be acted on; _NotAllowedError says why not."""
    default = str(context.options.get("container") or "")
    name = str(params.get("container") or default)
    if not name:
        raise _NotAllowedError(f"no container is configured. {REMEDY}")
    patterns = [str(pattern) for pattern in context.options.get("containers") or ()]
    if not NAME.fullmatch(name) or (name != default and not any(fnmatchcase(name, each) for each in patterns)):
        raise _NotAllowedError(f"the container {name!r} is not allowed. {REMEDY}")
    return name


def _own_name() -> str:
    try:
        name = Path("/etc/hostname").read_text().strip()
    except OSError:
        return ""
    return name if re.fullmatch(r"[0-9a-f]{12,64}", name) else ""


def _in_words(limits: Mapping[str, int]) -> str:
    cpus, memory = limits.get("NanoCpus"), limits.get("Memory")
    parts = [f"{cpus / NANO:g} CPUs" if cpus else "all CPUs"] if cpus is not None else []
    parts += [f"{memory / MEBIBYTE:.0f} MiB" if memory else "all memory"] if memory is not None else []
    return " and ".join(parts)
