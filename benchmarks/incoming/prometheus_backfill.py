"""How long the history of a Prometheus takes to arrive: `python -m benchmarks.incoming.prometheus_backfill`.

A server that answers as Prometheus does holds 1,000 series of 2,016 points, a week in steps of five minutes. The first
turn's monitor stage reads all of it into a store in a folder of its own. The bar is 20 seconds; it ends with 1 where
that is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flows.wiring import live_context, open_configured_store
from settings import load_settings, utc_now
from tasks.monitor.task import pull

BAR_S, STEP_S = 20.0, 300


def main() -> int:
    """Measure and print; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--points", type=int, default=2_016)
    options = parser.parse_args()
    port: Any = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(options.series, port), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    try:
        with tempfile.TemporaryDirectory() as folder:
            took_s = measure(Path(folder), port.value, options.series, options.points)
    finally:
        server.terminate()
    return int(took_s > BAR_S)


def measure(folder: Path, port: int, n_series: int, n_points: int) -> float:
    """Read the whole history once, print what it took and return the seconds."""
    (folder / "foreact.toml").write_text(f"""
[sources.prometheus]
url = "http://127.0.0.1:{port}"
step_s = {STEP_S}
lookback_s = {STEP_S * n_points}
timeout_s = 120
max_series = {n_series}
queries = {{requests = "requests"}}
""")
    settings, now = load_settings(folder), utc_now()
    with open_configured_store(settings) as store:
        context = live_context(settings, store, now, actions={})
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        pull(context)
        took_s, took_cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
        spans = store.samples.spans(now - timedelta(seconds=STEP_S * (n_points + 1)), now)
    count = sum(info.count for info in spans)
    assert count == n_series * n_points, f"{count:,} points arrived"
    print(f"{len(spans):,} series, {count:,} points: {took_s:.1f} s, {took_cpu_s:.1f} s of them CPU; bar {BAR_S:.0f} s")
    return took_s


def sawtooth(query: str, number: int, at_s: int) -> float:
    """Return a value that is the same in all series."""
    return at_s % 977 / 7


def serve(n_series: int, port: Any, value_of: Callable[[str, int, int], float] = sawtooth) -> None:
    """Answer range queries as Prometheus does; `value_of` a query, the number of a series and a unix second."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            times = range(int(float(asked["start"])), int(float(asked["end"])) + 1, int(float(asked["step"])))
            query = asked.get("query", "")
            result = (
                _series(number, ",".join(f'[{at_s},"{value_of(query, number, at_s):.6f}"]' for at_s in times))
                for number in range(n_series)
            )
            body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{",".join(result)}]}}}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        port.value = server.server_address[1]
        server.serve_forever()


def _series(number: int, values: str) -> str:
    labels = {"__name__": "requests", "instance": f"10.0.{number // 250}.{number % 250}:9090", "job": "api"}
    return f'{{"metric":{json.dumps(labels)},"values":[{values}]}}'


if __name__ == "__main__":
    raise SystemExit(main())
