"""Calling another system over HTTP so that what goes wrong is said in a sentence, and no secret is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.contract.results import CallFailedError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
CONNECT_S = 5.0
KEPT_CHARS = 300


def shown(url: str) -> str:
    """Return the URL without what may be secret in it: user, password, query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].partition('#')[0].rpartition('@')[2]}"


def client_of(options: Mapping[str, Any], *, uds: str | None = None, token_named: str = "token_file") -> httpx.Client:
    """Return a client with the headers, token, certificates and time limit of the options.

    Redirects are not followed: one could lead past what is configured. `token_file` is read at each call, since tokens
    of a cluster are renewed in their file; who asks calls it `token_named`. Raises CallFailedError where a file cannot
    be read.
    """
    import httpx

    headers = {str(name): str(value) for name, value in (options.get("headers") or {}).items()}
    if options.get("token_file"):
        headers["Authorization"] = f"Bearer {_text_of(str(options['token_file']), token_named)}"
    timeout = httpx.Timeout(float(options.get("timeout_s", TIMEOUT_S)), connect=CONNECT_S)
    transport = httpx.HTTPTransport(uds=uds) if uds else httpx.HTTPTransport(verify=_verified_by(options))
    return httpx.Client(timeout=timeout, headers=headers, transport=transport, follow_redirects=False, trust_env=False)


def ask(client: httpx.Client, method: str, url: str, **request: Any) -> httpx.Response:
    """Send a request and return the answer, whatever its status; raises CallFailedError where there is none."""
    import httpx

    try:
        return client.request(method, url, **request)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # The text of an error may hold the whole address.
        why = type(error).__name__ if url in str(error) else f"{type(error).__name__}: {error}".rstrip(": ")
        raise CallFailedError(f"{method} {shown(url)} failed: {why}.") from None


def refused(response: httpx.Response, remedy: str = "") -> CallFailedError:
    """Return what to raise for an answer that is none of the good ones, with its reason and what to do."""
    url, reason = shown(str(response.request.url)), _reason(response)
    said = f"{response.request.method} {url} was answered with {response.status_code} {response.reason_phrase}".rstrip()
    return CallFailedError(" ".join(filter(None, (f"{said}{reason}.", remedy))), response.status_code)


def _reason(response: httpx.Response) -> str:
    try:
        body = response.json()
        text = str(body.get("message") or body.get("detail") or body.get("error") or "")
    except (ValueError, AttributeError):
        text = ""
    return f": {' '.join(text.split())[:KEPT_CHARS].rstrip('.')}" if text else ""


def _verified_by(options: Mapping[str, Any]) -> Any:
    if not options.get("ca_file"):
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=str(options["ca_file"]))
    except (OSError, ssl.SSLError) as error:
        raise CallFailedError(f"ca_file = {options['ca_file']} cannot be used: {error}.") from None


def _text_of(file: str, option: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CallFailedError(f"{option} = {file} cannot be read: {error}.") from None
