"""Objectives as OpenSLO documents, both ways: https://github.com/OpenSLO/OpenSLO

What is read comes down to objectives and, where an indicator is a query, to the queries that make their metrics. What
is written keeps the whole objective in an annotation, so that reading it again gives the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import ForeactError
from storage.records import Objective
from tasks.growth import is_named_as_counter

VERSION = "openslo/v1"
ANNOTATION = "foreact.io/objective"
SOURCE = "foreact"
COUNTED_OVER = "5m"
LENGTHS_S = {
    "m": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 604_800,
    "M": 2_592_000,
    "Q": 7_776_000,
    "Y": 31_536_000,
}
SIDES = {"lte": "below", "lt": "below", "gte": "above", "gt": "above"}
_PLAIN = re.compile(r"[A-Za-z_:][\w:.]*")


class OpenSloDocument(BaseModel):
    """SLOs as YAML, one document each."""

    document: str = Field(max_length=1_000_000)
    left_out: list[str] = Field(default_factory=list, description="Which objectives no SLO can say, and why")


class OpenSloIn(BaseModel):
    """SLOs to set as objectives."""

    model_config = ConfigDict(extra="forbid")

    document: str = Field(max_length=1_000_000, description="OpenSLO v1 as YAML; several documents with --- between")
    by: str = Field(default="api", min_length=1, max_length=200)


class OpenSloSet(BaseModel):
    """What was set."""

    objectives: list[str]
    queries: dict[str, str] = Field(description="What to put under [sources.prometheus] queries, by metric")
    notes: list[str] = Field(description="What could not be taken as it is, and how it was taken")


@dataclass
class SloSet:
    """Objectives that were read, the PromQL of their metrics, and what is to be known about it."""

    objectives: list[Objective] = field(default_factory=list)
    queries: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_openslo(objectives: Sequence[Objective], service: str) -> OpenSloDocument:
    """Return the objectives that have a target over a window as SLOs, and why the others are none."""
    told = [_slo(each, service) for each in objectives if each.kind.has_target_ratio]
    left_out = [
        f"{each.name}: its kind is {each.kind}, which has no target over a window"
        for each in objectives
        if not each.kind.has_target_ratio
    ]
    return OpenSloDocument(document=yaml.safe_dump_all(told, sort_keys=False), left_out=left_out)


def read_openslo(text: str) -> SloSet:
    """Return what documents ask for; raises `openslo_invalid` naming the document and the field."""
    documents = _documents(text)
    indicators = {_name(each): _part(each, "spec") for each in documents if each.get("kind") == "SLI"}
    read = SloSet()
    for document in documents:
        if document.get("kind") == "SLO":
            _read_slo(document, indicators, read)
        elif document.get("kind") != "SLI":
            read.notes.append(f"{document.get('kind')} {_name(document)}: not taken; only SLO and SLI are.")
    if not read.objectives:
        raise _invalid("there is no SLO in it" + "".join(f"; {note}" for note in read.notes[:3]))
    return read


def _documents(text: str) -> list[dict[str, Any]]:
    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as trouble:
        raise _invalid(f"it is no YAML: {' '.join(str(trouble).split())[:200]}") from None
    for number, each in enumerate(documents):
        if not isinstance(each, dict) or each.get("apiVersion") != VERSION:
            raise _invalid(f"document {number} is not of apiVersion {VERSION}")
    return documents


def _read_slo(document: Mapping[str, Any], indicators: Mapping[str, Any], read: SloSet) -> None:
    name, spec = _name(document), _part(document, "spec")
    kept = _part(_part(document, "metadata"), "annotations", {}).get(ANNOTATION)
    if isinstance(kept, str):
        read.objectives.append(_objective(name, _kept(kept, name)))
        return
    asked = spec.get("objectives") or []
    if not isinstance(asked, list) or not asked:
        raise _invalid(f"SLO {name} has no objectives")
    for number, each in enumerate(asked):
        own = name if len(asked) == 1 else f"{name}-{number + 1}"
        if not isinstance(each, Mapping):
            raise _invalid(f"SLO {own} is no table")
        if "indicator" in each or "indicatorRef" in each:
            read.notes.append(f"SLO {own}: a composite objective is not taken.")
            continue
        read.objectives.append(_objective(own, dict(_fields(own, spec, each, indicators, read))))


def _fields(
    name: str, spec: Mapping[str, Any], asked: Mapping[str, Any], indicators: Mapping[str, Any], read: SloSet
) -> Iterator[tuple[str, Any]]:
    indicator = _part(spec, "indicator", {}).get("spec") or indicators.get(str(spec.get("indicatorRef")))
    if not isinstance(indicator, Mapping):
        raise _invalid(f"SLO {name} names the indicator {spec.get('indicatorRef')!r}, which is not in it")
    yield "description", str(spec.get("description") or "")[:1_000]
    target = asked["target"] if "target" in asked else _number(asked, "targetPercent", name) / 100
    if not isinstance(target, int | float) or not 0 < target < 1:
        raise _invalid(f"SLO {name}: its target must lie between 0 and 1")
    windows = spec.get("timeWindow") or [{"duration": "28d"}]
    if not isinstance(windows, list) or not isinstance(windows[0], Mapping):
        raise _invalid(f"SLO {name}: its timeWindow is no list of durations")
    yield "window_s", _seconds(str(windows[0].get("duration")), name)
    metric = re.sub(r"\W", "_", name).strip("_")
    if isinstance(indicator.get("thresholdMetric"), Mapping):
        side = SIDES.get(str(asked.get("op")))
        if side is None:
            raise _invalid(f"SLO {name}: its op must be one of {', '.join(SIDES)}")
        yield from {"kind": "slo", "target_ratio": target, "side": side, "bound": _number(asked, "value", name)}.items()
        source = _query(indicator["thresholdMetric"])
        if _PLAIN.fullmatch(source):
            metric = source
        else:
            read.queries[metric] = source
    else:
        read.queries[metric] = _ratio(_part(indicator, "ratioMetric"), name)
        yield from _of_ratio(name, asked, float(target), read)
    yield "metric", metric


def _of_ratio(name: str, asked: Mapping[str, Any], target: float, read: SloSet) -> Iterator[tuple[str, Any]]:
    yield from {"kind": "slo", "side": "above", "target_ratio": target}.items()
    if "timeSliceTarget" in asked:
        yield "bound", _number(asked, "timeSliceTarget", name)
        return
    read.notes.append(f"SLO {name}: each share that is recorded counts the same, however many events it is of.")


def _ratio(ratio: Mapping[str, Any], name: str) -> str:
    """Return the query of a share of good events."""
    if "raw" in ratio:
        raw = _query(ratio["raw"])
        return f"1 - ({raw})" if ratio.get("rawType") == "failure" else raw
    part = next((each for each in ("good", "bad") if each in ratio), None)
    if part is None or "total" not in ratio:
        raise _invalid(f"SLO {name}: its ratio needs total and good or bad")
    counted = "increase(({0})[" + COUNTED_OVER + ":])" if ratio.get("counter") else "({0})"
    share = f"{counted.format(_query(ratio[part]))} / {counted.format(_query(ratio['total']))}"
    return share if part == "good" else f"1 - {share}"


def _query(metric: Any) -> str:
    source = _part(_part(metric, "metricSource"), "spec")
    for key in ("query", "metric"):
        if isinstance(source.get(key), str) and source[key].strip():
            return " ".join(source[key].split())
    raise _invalid("a metricSource has neither query nor metric in its spec")


def _kept(text: str, name: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise _invalid(f"SLO {name}: its annotation {ANNOTATION} is no JSON object")
    return fields


def _objective(name: str, fields: Mapping[str, Any]) -> Objective:
    try:
        return Objective.model_validate({**fields, "name": name.lower()})
    except ValidationError as trouble:
        first = trouble.errors()[0]
        raise _invalid(f"SLO {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _slo(objective: Objective, service: str) -> dict[str, Any]:
    fields = objective.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    return {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": objective.name, "annotations": {ANNOTATION: json.dumps(fields, sort_keys=True)}},
        "spec": {
            "description": objective.description,
            "service": service,
            "indicator": {
                "metadata": {"name": f"{objective.name}-indicator"},
                "spec": _indicator(objective),
            },
            "timeWindow": [{"duration": _duration(objective.window_s), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [
                {"displayName": objective.name, "target": objective.target_ratio, **_threshold(objective)},
            ],
        },
    }


def _indicator(objective: Objective) -> dict[str, Any]:
    source = {"metric": objective.metric} | ({"denominator": objective.denominator} if objective.denominator else {})
    if not objective.counts_events or objective.denominator is None:
        return {"thresholdMetric": _metric(source)}
    part = "good" if objective.side == "above" else "bad"
    ratio = {part: _metric({"metric": objective.metric}), "total": _metric({"metric": objective.denominator})}
    return {"ratioMetric": {"counter": is_named_as_counter(objective.denominator), **ratio}}


def _metric(source: Mapping[str, str]) -> dict[str, Any]:
    return {"metricSource": {"type": SOURCE, "spec": source}}


def _threshold(objective: Objective) -> dict[str, Any]:
    if objective.counts_events and objective.denominator is not None:
        return {}
    return {"op": "lte" if objective.side == "below" else "gte", "value": objective.bound}


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    for unit in ("d", "h"):
        if minutes * 60 % LENGTHS_S[unit] == 0:
            return f"{minutes * 60 // LENGTHS_S[unit]}{unit}"
    return f"{minutes}m"


def _seconds(duration: str, name: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([mhdwMQY])", duration)
    if match is None or int(match[1]) == 0:
        raise _invalid(f"SLO {name}: {duration!r} is no duration such as 28d")
    return int(match[1]) * float(LENGTHS_S[match[2]])


def _number(asked: Mapping[str, Any], key: str, name: str) -> float:
    value = asked.get(key)
    if not isinstance(value, int | float):
        raise _invalid(f"SLO {name}: {key} must be a number")
    return float(value)


def _name(document: Mapping[str, Any]) -> str:
    name = _part(document, "metadata").get("name")
    if not isinstance(name, str) or not name:
        raise _invalid(f"{document.get('kind')}: it has no metadata.name")
    return name


def _part(of: Any, key: str, otherwise: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    part = of.get(key, otherwise) if isinstance(of, Mapping) else otherwise
    if not isinstance(part, Mapping):
        raise _invalid(f"{key} is missing or no table")
    return part


def _invalid(why: str) -> ForeactError:
    remedy = "Correct it and send it again; https://github.com/OpenSLO/OpenSLO describes the fields."
    return ForeactError("openslo_invalid", f"The OpenSLO document cannot be used: {why}.", remedy, status=422)
