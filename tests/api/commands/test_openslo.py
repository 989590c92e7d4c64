"""Objectives go out as OpenSLO and come in from it, and what no objective can say is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.models.slo_documents import read_openslo, write_openslo
from storage.errors import ForeactError
from storage.records import Objective, ObjectiveKind
from tests.api.conftest import API

PATH = f"{API}/objectives/openslo"

THRESHOLD = """
apiVersion: openslo/v1
kind: SLI
metadata: {name: latency}
spec:
  thresholdMetric:
    metricSource: {type: Prometheus, spec: {query: "histogram_quantile(0.9,\\n rate(took_bucket[5m]))"}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: fast-pages}
spec:
  description: Pages are fast
  service: shop
  indicatorRef: latency
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 0.5, target: 0.99}]
"""
RATIO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: few-errors}
spec:
  service: shop
  indicator:
    metadata: {name: errors}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: errors_total}}}
        total: {metricSource: {type: Prometheus, spec: {query: requests_total}}}
  timeWindow: [{duration: 1d, isRolling: true}]
  budgetingMethod: Timeslices
  objectives: [{targetPercent: 99, timeSliceTarget: 0.95, timeSliceWindow: 5m}]
"""


def test_a_threshold_is_an_slo_on_its_metric() -> None:
    read = read_openslo(THRESHOLD)
    assert read.objectives == [
        Objective(
            name="fast-pages",
            metric="fast_pages",
            kind=ObjectiveKind.SLO,
            side="below",
            bound=0.5,
            target_ratio=0.99,
            window_s=28 * 86_400,
            description="Pages are fast",
        )
    ]
    assert read.queries == {"fast_pages": "histogram_quantile(0.9, rate(took_bucket[5m]))"}


def test_a_metric_that_is_only_named_needs_no_query() -> None:
    read = read_openslo(THRESHOLD.replace("histogram_quantile(0.9,\\n rate(took_bucket[5m]))", "queue_length"))
    assert (read.objectives[0].metric, read.queries) == ("queue_length", {})


def test_time_slices_of_a_ratio_are_an_slo_on_the_share_of_good_events() -> None:
    read = read_openslo(RATIO)
    (objective,) = read.objectives
    assert (objective.side, objective.bound, objective.target_ratio, objective.window_s) == (
        "above",
        0.95,
        0.99,
        86_400,
    )
    assert read.queries == {
        "few_errors": "1 - increase((errors_total)[5m:]) / increase((requests_total)[5m:])",
    }
    assert read.notes == []


def test_of_occurrences_of_a_ratio_every_event_counts() -> None:
    read = read_openslo(RATIO.replace("timeSliceTarget: 0.95, timeSliceWindow: 5m", "displayName: few"))
    (objective,) = read.objectives
    assert (objective.kind, objective.target_ratio, objective.counts_events) == (ObjectiveKind.SLO, 0.99, True)
    assert "however many events" in read.notes[0]


def test_an_slo_on_two_counters_is_written_as_their_ratio() -> None:
    given = {"name": "works", "metric": "good_total", "denominator": "requests_total", "kind": "slo", "side": "above"}
    written = write_openslo([Objective.model_validate(given)], "default").document
    assert "ratioMetric" in written
    assert "counter: true" in written
    assert "value:" not in written.partition("objectives:")[2]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("openslo/v1", "openslo/v2"), "not of apiVersion openslo/v1"),
        (("target: 0.99", "target: 99"), "between 0 and 1"),
        (("target: 0.99", "targetPercent: many"), "targetPercent must be a number"),
        (("op: lte", "op: equals"), "its op must be one of"),
        (("indicatorRef: latency", "indicatorRef: other"), "the indicator 'other', which is not in it"),
        (("duration: 4w", "duration: soon"), "no duration"),
        (("value: 0.5", "value: .inf"), "bound"),
        (("name: fast-pages", "name: [1]"), "no metadata.name"),
        (("kind: SLO", "kind: Service"), "there is no SLO in it"),
        (("query:", "text:"), "neither query nor metric"),
        (("objectives: [{", "objectives: [5, {"), "is no table"),
        (("timeWindow: [{duration: 4w, isRolling: true}]", "timeWindow: [5]"), "its timeWindow is no list"),
        (("name: fast-pages", "name: a, annotations: {foreact.io/objective: '{'}"), "is no JSON object"),
        (("metadata:", "{"), "no YAML"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(client: TestClient, change: tuple[str, str], why: str) -> None:
    document = THRESHOLD.replace(*change)
    assert document != THRESHOLD
    answer = client.post(PATH, json={"document": document})
    assert (answer.status_code, answer.json()["code"]) == (422, "openslo_invalid")
    assert why in answer.json()["detail"]
    assert not any(name in client.get(f"{API}/objectives").text for name in ("fast-pages", "fast_pages"))


def test_the_audit_trail_names_the_caller_of_an_import_and_not_whom_he_says_he_is(client: TestClient) -> None:
    client.post(PATH, json={"document": THRESHOLD, "by": "ada"})
    client.put(f"{API}/objectives/other?by=ada", json={"metric": "m", "kind": "bound", "bound": 1})
    imported, by_hand = (
        next(each["actor"] for each in client.get(f"{API}/audit").json()["entries"] if each["subject"] == name)
        for name in ("fast-pages", "other")
    )
    assert imported == by_hand != "ada"
    assert imported.endswith("(ada)")


def test_where_one_objective_cannot_be_set_none_is(client: TestClient) -> None:
    orphan = Objective(name="orphan", kind=ObjectiveKind.SLO, metric="m", bound=1, parent="nobody")
    document = f"{THRESHOLD}---\n{write_openslo([orphan], 'shop').document}"
    before = client.get(f"{API}/audit").json()
    answer = client.post(PATH, json={"document": document})
    assert answer.json()["code"] == "goals.unknown_parent"
    assert "nobody" in answer.json()["detail"]
    assert "fast-pages" not in client.get(f"{API}/objectives").text
    assert client.get(f"{API}/audit").json() == before


def test_what_was_imported_is_in_force_and_comes_out_again(client: TestClient) -> None:
    answer = client.post(PATH, json={"document": f"{THRESHOLD}---{RATIO}", "by": "ada"}).json()
    assert answer["objectives"] == ["fast-pages", "few-errors"]
    listed = client.get(f"{API}/objectives").json()["objectives"]
    assert {"fast-pages", "few-errors"} <= {view["objective"]["name"] for view in listed}
    exported = client.get(PATH).json()
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(exported["document"])]
    assert names == ["fast-pages", "few-errors"]
    assert "cpu-not-saturated: its kind is bound, which has no target over a window" in exported["left_out"]


OBJECTIVES = st.builds(
    Objective,
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    metric=st.sampled_from(["latency", 'took{path="/"}']),
    kind=st.sampled_from([ObjectiveKind.SLO, ObjectiveKind.PERCENTILE]),
    side=st.sampled_from(["below", "above"]),
    bound=st.floats(-1e6, 1e6),
    target_ratio=st.floats(0.01, 0.999),
    window_s=st.sampled_from([60.0, 5_400.0, 86_400.0]),
    severity=st.floats(0, 1),
    denominator=st.sampled_from([None, "requests"]),
    description=st.text(max_size=20),
)


@given(st.lists(OBJECTIVES, min_size=1, max_size=4, unique_by=lambda each: each.name))
def test_what_is_written_is_read_as_it_was(objectives: list[Objective]) -> None:
    assert read_openslo(write_openslo(objectives, "default").document).objectives == objectives


@given(st.text(max_size=200))
def test_no_text_whatever_is_more_than_a_refusal(text: str) -> None:
    with pytest.raises(ForeactError):
        read_openslo(text)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["spec", "indicator", "objectives", "timeWindow", "thresholdMetric", "target", "op"]),
                inner,
            )
            | st.lists(inner, max_size=2)
        ),
        max_leaves=8,
    )
)
def test_no_shape_whatever_is_more_than_a_refusal(spec: Any) -> None:
    document = {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "a"}, "spec": spec}
    with pytest.raises(ForeactError):
        read_openslo(yaml.safe_dump(document))
