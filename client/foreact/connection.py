"""The connection: each method is one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from foreact.records import Act, Breach, Goal, Metric, Predictions, SeriesForecast, build, moment

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_URL = "http://127.0.0.1:5003"
MOST_AT_ONCE = 5_000


class Refused(Exception):
    """A request that was refused or could not be made: `code` for programs, the text and `remedy` for people."""

    def __init__(self, code: str, detail: str, remedy: str = "") -> None:
        super().__init__(f"{detail} {remedy}".strip())
        self.code, self.detail, self.remedy = code, detail, remedy


class Loop:
    """A running foreact."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __enter__(self) -> Loop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, trouble: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def status(self) -> dict[str, Any]:
        """Return whether it runs, its mode, and what it has done."""
        return dict(self._ask("GET", "/status"))

    def metric(
        self,
        name: str,
        value: float,
        *,
        timestamp: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        unit: str = "",
    ) -> None:
        """Record one value."""
        self._ask("POST", "/metrics", _row(Metric(name, value, timestamp, labels or {}, unit)))

    def metrics(self, values: Iterable[Metric] | pd.DataFrame) -> int:
        """Record many values, 5,000 to a request, and return how many.

        Of a frame with a time index every column is a metric; missing values are left out.
        """
        rows = [_row(each) for each in (_of_frame(values) if hasattr(values, "columns") else values)]
        for start in range(0, len(rows), MOST_AT_ONCE):
            self._ask("POST", "/metrics", rows[start : start + MOST_AT_ONCE])
        return len(rows)

    def event(
        self, event_type: str, metadata: Mapping[str, Any] | None = None, *, timestamp: datetime | None = None
    ) -> None:
        """Record that something happened."""
        body: dict[str, Any] = {"event_type": event_type, "metadata": dict(metadata or {})}
        self._ask("POST", "/events", body | ({"timestamp": timestamp.isoformat()} if timestamp else {}))

    def goals(self) -> list[Goal]:
        """Return the open goals, most important first."""
        return [build(Goal, each) for each in self._ask("GET", "/goals")["goals"]]

    def goal(self, goal_id: str) -> Goal:
        """Return one goal."""
        return build(Goal, self._ask("GET", f"/goals/{goal_id}"))

    def predictions(self, hours: float = 24) -> Predictions:
        """Return what the newest cycle foretells, cut to so many hours."""
        given = self._ask("GET", "/predictions", query={"horizon_hours": hours})
        series = [build(SeriesForecast, each) for each in given["series"]]
        return Predictions(
            state=given["predicted_state"]["state"],
            state_probability=given["predicted_state"]["probability"],
            breaches=tuple(build(Breach, each) for each in given["breaches"]),
            series={each.series: each for each in series},
            note=given["note"],
        )

    def actions(self, limit: int = 50) -> list[Act]:
        """Return the newest actions, newest first."""
        return [_act(each) for each in self._ask("GET", "/actions", query={"limit": limit})["actions"]]

    def waiting(self) -> list[Act]:
        """Return the actions that wait for an answer."""
        return [each for each in self.actions(500) if each.needs_approval]

    def approve(self, action_id: str, *, by: str = "", note: str = "", params: Mapping[str, Any] | None = None) -> None:
        """Approve an action, if need be with other parameters; the first answer counts."""
        changed = {} if params is None else {"params": dict(params)}
        self._ask("POST", f"/actions/{action_id}/approve", _answer(by, note) | changed)

    def reject(self, action_id: str, *, by: str = "", note: str = "") -> None:
        """Reject an action; the first answer counts."""
        self._ask("POST", f"/actions/{action_id}/reject", _answer(by, note))

    def undo(self, action_id: str, *, by: str = "", note: str = "") -> None:
        """Undo an action."""
        self._ask("POST", f"/actions/{action_id}/undo", _answer(by, note))

    def analyse(self) -> str:
        """Start a cycle now, and return the address of its run."""
        return str(self._ask("POST", "/analysis/trigger", {})["flow_run_url"])

    def set_autonomous(self, autonomous: bool) -> None:
        """Let foreact act by itself, or only recommend."""
        self._ask("POST", "/mode", {"autonomous": autonomous})

    def _ask(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, f"/api/autonomous{path}", json=body, params=query)
        except httpx.HTTPError as trouble:
            where = self._client.base_url
            detail = f"{where} does not answer: {trouble}."
            raise Refused("unreachable", detail, "Is `foreact up` running there?") from None
        if answer.is_error:
            raise _refusal(answer)
        return answer.json()


def connect(url: str = DEFAULT_URL, *, key: str | None = None, timeout_s: float = 30.0) -> Loop:
    """Return a connection to the foreact at `url`; `key` is an API key where it asks for one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Loop(httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s))


def _refusal(answer: httpx.Response) -> Refused:
    try:
        given = answer.json()
        return Refused(str(given["code"]), str(given["detail"]), str(given.get("remedy", "")))
    except (ValueError, KeyError, TypeError):
        return Refused(f"http_{answer.status_code}", f"{answer.url} answered {answer.status_code}.")


def _answer(by: str, note: str) -> dict[str, Any]:
    return {name: text for name, text in (("by", by), ("note", note)) if text}


def _row(metric: Metric) -> dict[str, Any]:
    row: dict[str, Any] = {"metric_name": metric.metric_name, "value": float(metric.value)}
    row |= {"timestamp": metric.timestamp.isoformat()} if metric.timestamp else {}
    row |= {"labels": dict(metric.labels)} if metric.labels else {}
    return row | ({"unit": metric.unit} if metric.unit else {})


def _of_frame(frame: pd.DataFrame) -> Iterable[Metric]:
    index = frame.index.tz_localize("UTC") if frame.index.tz is None else frame.index
    for name in frame.columns:
        column = frame[name].dropna()
        times = index[frame[name].notna()]
        for at, value in zip(times, column.tolist(), strict=True):
            yield Metric(str(name), float(value), at.to_pydatetime())


def _act(given: Mapping[str, Any]) -> Act:
    action = given["action"]
    return Act(
        action_id=action["action_id"],
        name=action["name"],
        status=given["status"],
        goal_id=action["goal_id"],
        target=action["target"],
        params=action["params"],
        due_at=moment(action["due_at"]),
        needs_approval=given["needs_approval"],
    )
