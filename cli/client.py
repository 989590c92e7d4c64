"""One client: the running facade over HTTP or, if none runs, the same routes over the store itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from api.access import PREFIX, owner_token
from cli.wording import in_commands
from settings import Settings, browsable, utc_now
from storage import address_file
from storage.errors import ForeactError

if TYPE_CHECKING:
    import httpx

    from api.facade import Facade

TIMEOUT_S = 30.0
PROBE_S = 2.0


class FacadeClient:
    """A client of the REST interface; `is_live` tells whether a stack serves it."""

    is_live = True

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **params: Any) -> Any:
        """Return what is at a path below `/api/autonomous`."""
        given = {name: value for name, value in params.items() if value is not None}
        return _told_in_commands(self._read(path, given))

    def _read(self, path: str, params: Mapping[str, Any]) -> Any:
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request that changes something."""
        return _told_in_commands(self._ask("POST", path, json=dict(body or {})))

    def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        import httpx

        try:
            answer = self._client.request(method, PREFIX + path, **kwargs)
        except httpx.TransportError as trouble:
            raise ForeactError(
                "facade_unreachable",
                f"The facade at {self._client.base_url} does not answer ({type(trouble).__name__}).",
                "Run `foreact doctor`.",
                status=503,
            ) from None
        if answer.is_error:
            raise _refusal(answer)
        return answer.json()


class StoreClient(FacadeClient):
    """A client of the store itself, for where no stack runs."""

    is_live = False

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    @cached_property
    def _client(self) -> httpx.Client:  # type: ignore[override]
        from api.in_process import client_of

        return client_of(self._facade)

    def _read(self, path: str, params: Mapping[str, Any]) -> Any:
        from cli import offline

        try:
            return offline.read(self._facade, path, **params)
        except LookupError:
            return super()._read(path, params)
        except ForeactError as refusal:
            raise _in_commands(refusal) from None


@contextmanager
def desk(settings: Settings, marks: Mapping[str, str] | None = None) -> Iterator[FacadeClient]:
    """Open the way to ask, whichever there is; raises `another_stack` where another folder's stack has our port.

    `marks` are headers that say more of who asks.
    """
    address = address_of(settings)
    headers = {**_as_owner(settings), **(marks or {})}
    if not is_served(address):
        with _offline(settings) as client:
            yield client
        return

    import httpx

    with httpx.Client(base_url=address, timeout=TIMEOUT_S, trust_env=False, headers=headers) as served:
        _refuse_another_stack(settings, served)
        yield FacadeClient(served)


def address_of(settings: Settings) -> str:
    """Return where the facade of a folder listens."""
    return f"http://{browsable(settings.server.host)}:{settings.server.port}"


@contextmanager
def desk_at(address: str, key: str | None, marks: Mapping[str, str] | None = None) -> Iterator[FacadeClient]:
    """Open the way to ask a facade at an address, with an API key where it wants one; `marks` as of `desk`."""
    import httpx

    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **(marks or {})}
    with httpx.Client(base_url=address.rstrip("/"), timeout=TIMEOUT_S, trust_env=False, headers=headers) as client:
        yield FacadeClient(client)


def is_served(address: str) -> bool:
    """Tell whether a facade answers at an address."""
    url = urlsplit(address)
    try:
        socket.create_connection((str(url.hostname), url.port or 80), timeout=PROBE_S).close()
    except OSError:
        return False

    # Loaded only where something listens: where nothing does, a command is as quick without.
    import httpx

    try:
        answer = httpx.get(f"{address}/healthz", timeout=PROBE_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.headers.get("content-type", "").startswith("application/json")


def whose(client: httpx.Client) -> str | None:
    """Return the folder whose stack a facade says it is; None where it does not say."""
    import httpx

    try:
        folder = client.get("/healthz").json().get("folder")
    except (httpx.HTTPError, ValueError, AttributeError):
        return None
    return None if folder is None else str(folder)


def _refuse_another_stack(settings: Settings, client: httpx.Client) -> None:
    folder = whose(client)
    if folder == str(settings.folder):
        return
    said = f"the stack of {folder}" if folder else "a program that does not say whose stack it is"
    remedy = "Set another `server.port` in foreact.toml, or stop what uses it."
    raise ForeactError(
        "another_stack",
        f"Port {settings.server.port} is used by {said}, not by that of {settings.folder}; nothing was changed.",
        f"To reach it use `foreact -C {folder}`. {remedy}" if folder else remedy,
        status=409,
    )


def _as_owner(settings: Settings) -> dict[str, str]:
    """Return the header by which a facade of ours knows its own user."""
    token = owner_token(address_file(settings.database_path))
    return {"Authorization": f"Bearer {token}"} if token else {}


@contextmanager
def _offline(settings: Settings) -> Iterator[StoreClient]:
    # Imported late: a running facade is asked without any of this.
    from api.facade import Facade
    from storage import open_store

    with open_store(settings.database_path) as store:
        yield StoreClient(Facade(settings, store, _NothingRuns(), utc_now, utc_now(), checks={"stack": lambda: False}))


class _NothingRuns:
    """Refuses to start anything, because no stack runs."""

    def running(self, deployment: str, but: str | None = None) -> None:
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Any:
        raise ForeactError(
            "not_running", "foreact is not running in this folder.", "Start it with `foreact up`.", status=503
        )


def _told_in_commands(answer: Any) -> Any:
    """Return an answer whose note, if it has one, recommends commands."""
    if isinstance(answer, dict) and isinstance(answer.get("note"), str):
        return answer | {"note": in_commands(answer["note"])}
    return answer


def _refusal(answer: httpx.Response) -> ForeactError:
    try:
        problem = answer.json()
        refusal = ForeactError(problem["code"], problem["detail"], problem.get("remedy", ""), status=answer.status_code)
        return _in_commands(refusal)
    except (ValueError, KeyError, TypeError):
        return ForeactError(
            "unexpected_answer",
            f"{answer.request.url} answered {answer.status_code}, but not in foreact's error format.",
            "Another program may use that port; run `foreact doctor`.",
            status=502,
        )


def _in_commands(refusal: ForeactError) -> ForeactError:
    """Return a refusal that recommends commands."""
    message, remedy = in_commands(refusal.message), in_commands(refusal.remedy)
    return ForeactError(refusal.code, message, remedy, status=refusal.status)
