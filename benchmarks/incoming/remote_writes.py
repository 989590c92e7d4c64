"""How many samples a second the facade takes by Prometheus remote write: `python -m benchmarks.incoming.remote_writes`.

Starts a facade in a folder of its own and sends it requests as Prometheus shapes them, over as many connections as it
opens: first of series that are new, then of the same ones again and again. The bar is 100,000 samples a second of the
latter, which is what a Prometheus sends all day; it ends with 1 below it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cramjam
import httpx

from api.models.remote_write import MEDIA_TYPE, message
from benchmarks.api import facade

BAR_PER_S = 100_000
SAMPLES = 2_000
"""What Prometheus sends at most in a request unless told otherwise, as `max_samples_per_send`."""
HEADERS = {"Content-Type": MEDIA_TYPE, "Content-Encoding": "snappy"}


def main() -> int:
    """Measure and print; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20, help="samples of each series")
    parser.add_argument("--connections", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, facade(Path(folder)) as (process, client):
        url = f"{client.base_url}/api/v1/write"
        now_ms = int(time.time() * 1_000)
        moments = [now_ms - 15_000 * (options.rounds - place) for place in range(options.rounds)]
        rounds = [
            [body(start, at_ms) for start in range(0, options.series, SAMPLES)] for at_ms in [now_ms - 10**6, *moments]
        ]
        for name, bodies in (("new series", rounds[0]), ("known series", [b for each in rounds[1:] for b in each])):
            with ThreadPoolExecutor(options.connections) as pool, httpx.Client(timeout=60) as sender:
                started_s, started_cpu_s = time.perf_counter(), sum(process.cpu_times()[:2])
                for answer in pool.map(lambda each: sender.post(url, content=each, headers=HEADERS), bodies):
                    answer.raise_for_status()
                rate = len(bodies) * SAMPLES / (time.perf_counter() - started_s)
                by_cpu = len(bodies) * SAMPLES / (sum(process.cpu_times()[:2]) - started_cpu_s)
            told = f"{rate:10,.0f} samples/s, {rate / BAR_PER_S:.2f} of the bar"
            print(f"{name:13} {told}; {by_cpu:,.0f} a second of the facade's processor time")
    return int(rate < BAR_PER_S)


def body(first: int, at_ms: int) -> bytes:
    """Return a request of one sample each of series that begin with a number."""
    request, label = message("WriteRequest")(), message("Label")
    for number in range(first, first + SAMPLES):
        labels = {
            "__name__": f"http_requests_{number % 50}",
            "instance": f"10.0.{number // 250}.{number % 250}:9090",
            "job": "api",
            "code": "200",
            "handler": "/users/{id}",
        }
        series = request.timeseries.add()
        series.labels.extend(label(name=name, value=text).SerializeToString() for name, text in labels.items())
        series.samples.add(value=float(number % 97), timestamp=at_ms)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


if __name__ == "__main__":
    raise SystemExit(main())
