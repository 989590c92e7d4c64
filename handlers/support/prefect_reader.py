"""Asking a Prefect server over its REST interface, without importing prefect, which costs 44 MB and two seconds."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx

from handlers.support.clocks import skew_s
from storage.errors import ForeactError, TransientError

BUSY_PAUSES_S = (0.2, 0.5, 1.0)
"""A server on SQLite answers 503 while another writer holds its database."""

PAGE = 200
"""Prefect refuses a longer page."""

OTHERWISE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading an answer raises that is not as Prefect's interface has it: a page of a proxy, half of it, another's."""


def needs_certificates(url: str) -> bool:
    """Tell whether a server is verified by certificates, all of which take 20 ms to read for each client."""
    return url.startswith("https:")


class CsrfToken(httpx.Auth):
    """Sends the token without which a server takes no change; it is fetched when the server refuses one.

    `own` are the headers by which the server knows us.
    """

    requires_response_body = True

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self._own = dict(own or {})
        self._headers = {"Prefect-Csrf-Client": str(uuid4())}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Send a request, once more with a token where it is refused for want of one."""
        request.headers.update(self._own)
        if request.method == "GET":
            yield request
            return
        request.headers.update(self._headers)
        answer = yield request
        if answer.status_code != httpx.codes.FORBIDDEN:
            return
        base = str(request.url).partition("/api/")[0]
        query = {"client": self._headers["Prefect-Csrf-Client"]}
        token = yield httpx.Request("GET", f"{base}/api/csrf-token", params=query, headers=self._own)
        if told := _token_in(token):
            self._headers["Prefect-Csrf-Token"] = told
            request.headers.update(self._headers)
        # Without a token as well: whoever asked is to see this answer, not that to a question of ours.
        yield request


def _token_in(answer: httpx.Response) -> str | None:
    """Return the token, None where something else answers."""
    try:
        return str(answer.json()["token"]) if answer.is_success else None
    except OTHERWISE:
        return None


def ask_patiently(client: httpx.Client, method: str, url: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
    """Send a request, and again after a pause while the server is busy; return its last answer."""
    for pause_s in BUSY_PAUSES_S:
        answer = client.request(method, url, json=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer
        time.sleep(pause_s)
    return client.request(method, url, json=body)


class PrefectReader:
    """Reads lists of objects; `skew_s` is how far the server's clock was ahead of ours at its last answer."""

    def __init__(self, api_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        """Bind the API, as in `http://127.0.0.1:4200/api`."""
        self.api_url = api_url.rstrip("/")
        self.skew_s = 0.0
        verify = needs_certificates(api_url)
        self._client = httpx.Client(timeout=timeout_s, auth=CsrfToken(headers), trust_env=False, verify=verify)

    def __enter__(self) -> PrefectReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def all_of(self, path: str, body: Mapping[str, Any] | None = None, most: int = 100_000) -> Iterator[dict[str, Any]]:
        """Yield the objects that a filter finds, page by page, at most `most`.

        Raises TransientError where trying again may help and ForeactError where it cannot.
        """
        for offset in range(0, most, PAGE):
            rows = self._page(path, {**(body or {}), "limit": min(PAGE, most - offset), "offset": offset})
            yield from rows
            if len(rows) < PAGE:
                return

    def _page(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = ask_patiently(self._client, "POST", f"{self.api_url}/{path}", body)
        except httpx.RequestError as trouble:
            why = str(trouble) or type(trouble).__name__
            raise TransientError(f"The Prefect server at {self.api_url} cannot be reached: {why}") from trouble
        except httpx.InvalidURL as trouble:
            raise self._refusal("prefect_url", f"{self.api_url} is no address: {trouble}.") from trouble
        code = answer.status_code
        if code >= 500 or code == httpx.codes.TOO_MANY_REQUESTS:
            raise TransientError(f"The Prefect server at {self.api_url} answered {code} to {path}.")
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            message = f"The Prefect server at {self.api_url} refuses this login ({code})."
            remedy = "Give a login in headers: the header Authorization, with Bearer and the key."
            raise ForeactError("prefect_login", message, remedy)
        self.skew_s = skew_s(answer.headers)
        try:
            rows = answer.json() if answer.is_success else None
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            detail = f"answered {code} to {path} with {answer.headers.get('Content-Type', 'no content')}"
            raise self._refusal("prefect_no_api", f"{self.api_url} {detail}, not with a list as a Prefect API does.")
        return rows

    def _refusal(self, code: str, message: str) -> ForeactError:
        remedy = "Correct api_url; it ends in /api, as in http://127.0.0.1:4200/api."
        return ForeactError(code, message, remedy)
