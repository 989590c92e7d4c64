"""Options that stand in a block of a Prefect server: `password = { block = "secret/db-password" }`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from handlers.support.prefect_reader import OTHERWISE, CsrfToken, ask_patiently
from storage.errors import ForeactError, TransientError
from storage.private import as_secret, without_login

TIMEOUT_S = 10.0
KEYS = frozenset({"block", "field"})


class PrefectBlocks:
    """Looks up blocks of one server, each once, when an option that is to be used names it."""

    def __init__(self, api_url: str, own: Mapping[str, str] | None = None) -> None:
        """Bind the API, as in `http://127.0.0.1:4200/api`; `own` are the headers by which the server knows us."""
        self._url, self._own = api_url.rstrip("/"), own
        self._known: dict[str, Mapping[str, Any]] = {}

    def resolved(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options with what their blocks hold, all of which counts as a secret.

        Raises TransientError where the server does not answer, and ForeactError where it has no such block or field.
        """
        return {name: self._of(value) for name, value in options.items()}

    def _of(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._held(value) if "block" in value and value.keys() <= KEYS else self.resolved(value)
        return type(value)(map(self._of, value)) if type(value) in (list, tuple) else value

    def _held(self, reference: Mapping[str, Any]) -> Any:
        name = str(reference["block"])
        if name not in self._known:
            self._known[name] = self._read(name)
        data = self._known[name]
        filled = [key for key, value in data.items() if value is not None]
        field = reference.get("field") or (filled[0] if len(filled) == 1 else "")
        if field not in data:
            remedy = f'Name one, as in {{ block = "{name}", field = "{filled[0] if filled else "value"}" }}.'
            raise _unusable(name, f"has the fields {', '.join(sorted(data)) or 'of nothing'}", remedy)
        return as_secret(data[field])

    def _read(self, name: str) -> Mapping[str, Any]:
        kind, slash, own_name = name.partition("/")
        if not (kind and slash and own_name) or "/" in own_name:
            raise _unusable(name, "is not named by type and name", 'Write it as in { block = "secret/db-password" }.')
        path = f"/block_types/slug/{kind}/block_documents/name/{own_name}?include_secrets=true"
        where = without_login(self._url)
        try:
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False, auth=CsrfToken(self._own)) as client:
                answer = ask_patiently(client, "GET", self._url + path)
        except httpx.HTTPError as trouble:
            why = str(trouble) or type(trouble).__name__
            raise TransientError(f"The block {name} cannot be read: no answer from Prefect at {where}: {why}") from None
        if answer.status_code >= 500:
            raise TransientError(f"The block {name} cannot be read: Prefect at {where} answered {answer.status_code}.")
        if answer.status_code == httpx.codes.NOT_FOUND:
            remedy = "Make it on the page Blocks of Prefect, or correct its name."
            raise _unusable(name, f"is not there on the Prefect server at {where}", remedy)
        if answer.is_error:
            remedy = "Set PREFECT_API_AUTH_STRING or PREFECT_API_KEY for a server elsewhere."
            raise _unusable(name, f"is refused by the Prefect server at {where} ({answer.status_code})", remedy)
        try:
            return dict(answer.json()["data"])
        except OTHERWISE:
            remedy = "Correct prefect_api_url; it ends in /api, as in http://127.0.0.1:4200/api."
            raise _unusable(
                name, f"cannot be read: {where} answers otherwise than a Prefect API does", remedy
            ) from None


def _unusable(name: str, why: str, remedy: str) -> ForeactError:
    return ForeactError("block_unusable", f"The block {name} {why}.", remedy)
