"""Components and what they depend on follow from labels and from the order of runs."""

from __future__ import annotations

import pytest

from storage.records import Candidate, Goal
from tasks.causes.components import component_of, in_order, nested
from tasks.causes.graph import DependencyGraph, circle_in
from tasks.causes.in_words import on_cause
from tests.tasks.plan.worlds import goal_of

LABELS = ("process", "service", "host")


@pytest.mark.parametrize(
    ("series", "component"),
    [
        ('latency{quantile="0.9",service="db"}', ("db", 'latency{quantile="0.9"}')),
        ('memory{host="a",process="java"}', ("java", "memory")),
        ("cpu_used_ratio", ("cpu_used_ratio", "cpu_used_ratio")),
    ],
)
def test_the_first_label_of_a_kind_names_the_component(series: str, component: tuple[str, str]) -> None:
    assert component_of(series, LABELS) == component


def test_a_host_depends_on_the_process_that_runs_on_it() -> None:
    assert list(nested(['memory{host="a",process="java"}', "load"], LABELS)) == [("a", "java")]


def test_a_deployment_depends_on_the_one_at_whose_end_it_begins() -> None:
    days = [86_400.0 * day for day in range(6)]
    runs = {
        "load": [(day, day + 600) for day in days],
        "report": [(day + 630, day + 900) for day in days],
        "backup": [(day + 7_000, None) for day in days],
    }
    assert list(in_order(runs)) == [("report", "load")]


def test_a_circle_is_found_and_a_tree_has_none() -> None:
    assert set(circle_in(DependencyGraph({"a": ("b",), "b": ("a",)}))) == {"a", "b"}
    assert circle_in(DependencyGraph({"a": ("b", "c"), "b": ("c",)})) == ()


def with_causes(*components: str, kept: float = 0.8) -> Goal:
    """Return a goal with causes, each with so much of the score of the one before."""
    ranked = [{"component": component, "score": kept**place} for place, component in enumerate(components)]
    return goal_of().model_copy(update={"because": {"causes": {"ranked": ranked}}})


def test_of_several_targets_those_on_the_likeliest_cause_that_can_be_reached_are_left() -> None:
    offered = [Candidate(action="restart", target=name) for name in ("web", "db")]
    scale = Candidate(action="scale", params={"to": 3})
    assert on_cause([*offered, scale], with_causes("disk", "db", "web")) == (offered[1], scale)
    assert on_cause([*offered, scale], with_causes("disk")) == (*offered, scale)
    assert on_cause(offered, with_causes()) == tuple(offered)


def test_a_cause_that_is_hardly_likely_aims_at_nothing() -> None:
    offered = (Candidate(action="restart", target="web"), Candidate(action="restart", target="db"))
    assert on_cause(offered, with_causes("disk", "db", kept=0.1)) == offered
