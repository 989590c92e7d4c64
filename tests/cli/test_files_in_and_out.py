"""Files that people bring and take: history in, objectives in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli import bulk_history
from cli.app import app
from storage.engine.protocol import connect

Run = Callable[..., Result]

SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: few-errors}
spec:
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: Prometheus, spec: {query: 'ok{code!~"5.."}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: all}}}
  timeWindow: [{duration: 1d, isRolling: true}]
  objectives: [{target: 0.99, timeSliceTarget: 0.95}]
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    # A port on which nobody listens: the commands then work on the store itself.
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")
    return lambda *words: CliRunner().invoke(app, ["-C", str(tmp_path), *words])


def test_objectives_come_in_and_go_out_as_openslo(run: Run, tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(SLO)
    said = run("openslo", str(tmp_path / "slo.yaml")).output
    assert "set few-errors" in said
    assert "few_errors = '''(ok{code!~\"5..\"}) / (all)'''" in said
    told = run("openslo").output
    assert [each["metadata"]["name"] for each in yaml.safe_load_all(told)] == ["few-errors"]
    assert "# left out: disk-not-full: its kind is capacity" in told


def test_a_file_that_is_no_openslo_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text("kind: SLO\n")
    refused = run("openslo", str(tmp_path / "slo.yaml"))
    assert "document 0 is not of apiVersion openslo/v1" in str(refused.exception)
    assert "cannot be read" in str(run("openslo", str(tmp_path / "none.yaml")).exception)


def test_parquet_is_imported(run: Run, tmp_path: Path) -> None:
    with connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT DATE '2026-11-01' AS ts, 'a' AS host, 5.5 AS load) TO '{tmp_path}/h.parquet'")
    for said in ("imported 1 samples of 1 series, by the labels host", "1 were recorded already"):
        assert said in run("import", str(tmp_path / "h.parquet")).output


@pytest.mark.parametrize("many_bytes", [0, 10**9])
def test_a_csv_file_of_many_rows_is_imported_as_a_small_one_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many_bytes: int
) -> None:
    monkeypatch.setattr(bulk_history, "MANY_BYTES", many_bytes)
    (tmp_path / "h.csv").write_text("ts,cpu,load\n2026-11-01,1,5\n2026-11-02,2,\n2026-11-03,soon,6\n")
    said = run("import", str(tmp_path / "h.csv")).output
    assert "imported 4 samples of 2 series" in said
    assert "skipped 1" in said


@pytest.mark.parametrize(
    ("select", "why"), [("DATE '2099-01-01' AS ts, 1 AS cpu", "in the future"), ("1 AS a", "no column named")]
)
def test_history_that_cannot_be_used_is_refused(run: Run, tmp_path: Path, select: str, why: str) -> None:
    with connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT {select}) TO '{tmp_path}/h.parquet'")
    assert why in str(run("import", str(tmp_path / "h.parquet")).exception)
