"""Chart libraries beside each other: what they weigh, how soon a chart is drawn in a cold browser, what the tab takes.

`pip download --no-deps -d WHEELS plotly bokeh nicegui`, then `.venv/bin/python -m benchmarks.chart_libraries WHEELS`.
The same chart for each, under the content policy of our pages: 2,016 points, a fan of two bands over 288, a bound.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit
from zipfile import ZipFile

import numpy as np
import psutil

from api.dashboard.plotly_script import MAPS_SHEET
from api.dashboard.rendering import CHART_POLICY
from tests.api.dashboard.browser import browser

TRIES = 7
# Without these ids Plotly writes style sheets into the page, which the policy refuses; our pages have them too.
HEAD = f'<link rel="icon" href="data:"><meta id="plotly.js-style-global"><meta id="{MAPS_SHEET}">'
WAIT = """new Promise((found) => { const look = () => window.drawn ? found(window.drawn) : setTimeout(look, 5);
setTimeout(() => found(0), 20000); look(); })"""
DRAWN = "requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }));"
PLOTLY = """
const plain = {mode: "lines", type: "scatter"}, none = {...plain, line: {width: 0}};
const band = (low, high) => [{...none, x: d.fx, y: low}, {...none, x: d.fx, y: high, fill: "tonexty"}];
const bound = {type: "line", xref: "paper", x0: 0, x1: 1, y0: 130, y1: 130};
Plotly.newPlot("chart", [...band(d.q[0], d.q[4]), ...band(d.q[1], d.q[3]), {...plain, x: d.fx, y: d.q[2]},
  {...plain, x: d.x, y: d.y}], {shapes: [bound], xaxis: {type: "date"}, width: 900, height: 400}).then(() => { DRAWN });
"""
BOKEH = """
const tools = "pan,wheel_zoom,hover,save";
const plot = Bokeh.Plotting.figure({width: 900, height: 400, x_axis_type: "datetime", tools});
const source = (columns) => new Bokeh.ColumnDataSource({data: columns});
for (const [low, high] of [[0, 4], [1, 3]])
  plot.varea({field: "x"}, {field: "low"}, {field: "high"},
    {source: source({x: d.fx, low: d.q[low], high: d.q[high]}), fill_alpha: 0.2});
plot.line({field: "x"}, {field: "y"}, {source: source({x: d.fx, y: d.q[2]})});
plot.line({field: "x"}, {field: "y"}, {source: source({x: d.x, y: d.y})});
plot.add_layout(new Bokeh.Span({location: 130, dimension: "width"}));
Bokeh.Plotting.show(plot, document.getElementById("chart")).then((view) => view.ready).then(() => { DRAWN });
"""
ECHARTS = """
import { echarts } from "SCRIPT";
const chart = echarts.init(document.getElementById("chart"), null, {width: 900, height: 400});
const together = (x, y) => x.map((at, i) => [at, y[i]]);
const plain = {type: "line", showSymbol: false};
const band = (name, low, high) => [{...plain, stack: name, lineStyle: {opacity: 0}, data: together(d.fx, low)},
  {...plain, stack: name, lineStyle: {opacity: 0}, areaStyle: {opacity: 0.2},
    data: together(d.fx, high.map((y, i) => y - low[i]))}];
chart.on("finished", () => { if (!window.drawn) { DRAWN } });
const tools = {tooltip: {trigger: "axis"}, dataZoom: [{type: "inside"}]};
chart.setOption({...tools, animation: false, xAxis: {type: "time"}, yAxis: {scale: true}, series: [
  ...band("90", d.q[0], d.q[4]), ...band("50", d.q[1], d.q[3]), {...plain, data: together(d.fx, d.q[2])},
  {...plain, data: together(d.x, d.y), markLine: {data: [{yAxis: 130}]}}]});
"""
# By wheel: the scripts of it that the page asks for, first what the drawing imports, and the drawing.
LIBRARIES = {
    "plotly": (r"^plotly/package_data/plotly\.min\.js$", PLOTLY),
    "bokeh": (r"^bokeh/server/static/js/bokeh(-api)?\.min\.js$", BOKEH),
    "nicegui": (r"^nicegui/elements/echart/dist/.*\.js$", ECHARTS),
}


def data() -> str:
    """Return a week at five minutes and a forecast of a day with five quantiles, as a script."""
    chance = np.random.default_rng(0)
    at = 1_772_000_000_000.0 + 300_000 * np.arange(2_016 + 288)
    value = 100 + 20 * np.sin(at / 86_400_000 * 2 * np.pi) + chance.normal(0, 3, len(at))
    width = 2 + np.sqrt(np.arange(288))
    quantiles = [(value[2_016:] + z * width).round(2).tolist() for z in (-1.6, -0.7, 0.0, 0.7, 1.6)]
    columns = {
        "x": at[:2_016].tolist(),
        "y": value[:2_016].round(2).tolist(),
        "fx": at[2_016:].tolist(),
        "q": quantiles,
    }
    return f"const d = {json.dumps(columns)};"


def files(wheel: Path, pattern: str, drawing: str) -> dict[str, bytes]:
    """Return what a page with one chart consists of, by address."""
    with ZipFile(wheel) as packed:
        names = [name for name in sorted(packed.namelist()) if re.search(pattern, name)]
        scripts = {f"/{Path(name).name}": packed.read(name) for name in names}
    is_module = "SCRIPT" in drawing
    entry = "/index.js" if is_module else ""
    drawn = drawing.replace("DRAWN", DRAWN).replace("SCRIPT", entry)
    names = [] if is_module else sorted(scripts, key=len)
    tags = "".join(f'<script src="{name}"></script>' for name in ("/data.js", *names))
    kind = "module" if is_module else "text/javascript"
    body = f'<p>A chart</p><div id="chart"></div>{tags}<script type="{kind}" src="/draw.js"></script>'
    page = f"<!doctype html><title>one</title>{HEAD}{body}"
    return {"/": page.encode(), "/data.js": data().encode(), "/draw.js": drawn.encode(), **scripts}


def served(found: dict[str, bytes]) -> ThreadingHTTPServer:
    """Serve the files compressed, under the policy of our pages."""
    packed = {name: gzip.compress(text, 6) for name, text in found.items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = packed.get(self.path)
            self.send_response(200 if text else 404)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "text/javascript")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Security-Policy", CHART_POLICY)
            self.end_headers()
            self.wfile.write(text or b"")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def tab_mb() -> float:
    """Return the private memory of the page's process."""
    sizes = []
    for each in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in each.cmdline():
                sizes.append(each.memory_full_info().uss / 1e6)
        except psutil.Error:
            continue
    return max(sizes)


@dataclass(frozen=True)
class Look:
    """What one opening of a page in a new browser showed: times since it was asked for, in ms, and the tab's memory."""

    paint_ms: float
    chart_ms: float
    processor_ms: float
    memory_mb: float
    complaints: int
    asked: frozenset[str]


def looks(found: dict[str, bytes], picture: Path) -> Iterator[Look]:
    """Open the page in a new browser again and again; keep a picture of the last."""
    server = served(found)
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, browser(Path(home)) as tab:
            tab.resize(1_000, 600)
            tab.call("Performance.enable", timeDomain="threadTicks")
            tab.open(f"http://127.0.0.1:{server.server_port}/")
            drawn_ms = float(tab.run(WAIT))
            busy_s = {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}[
                "TaskDuration"
            ]
            asked = frozenset(urlsplit(each).path for each in tab.asked())
            yield Look(tab.first_paint_ms(), drawn_ms, 1e3 * busy_s, tab_mb(), len(tab.complaints()), asked)
            with contextlib.suppress(AssertionError):  # a chart that never settles has no picture
                tab.picture(picture)
    server.shutdown()
    server.server_close()


def row(wheel: Path, found: dict[str, bytes], seen: list[Look]) -> str:
    """Return a library's row: sizes of the wheel and of the scripts asked for, and the medians."""
    scripts = [found[name] for name in seen[0].asked & (found.keys() - {"/", "/data.js", "/draw.js"})]
    packed = sum(len(gzip.compress(each, 6)) for each in scripts)
    cells = (
        wheel.name.split("-py")[0],
        f"{wheel.stat().st_size / 1e6:.1f} MB",
        f"{sum(map(len, scripts)) / 1e6:.2f} MB",
        f"{packed / 1e3:.0f} KB",
        f"{median(each.paint_ms for each in seen):.0f} ms",
        f"{median(each.chart_ms for each in seen):.0f} ms",
        f"{median(each.processor_ms for each in seen):.0f} ms",
        f"{median(each.memory_mb for each in seen):.0f} MB",
        f"{median(each.complaints for each in seen):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each library whose wheel lies in the folder, and keep a picture of each chart there."""
    folder = Path(sys.argv[1])
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; medians of {TRIES}")
    print("| wheel | size | script | compressed | first paint | chart drawn | processor | tab | refused |")
    for name, (pattern, drawing) in LIBRARIES.items():
        (wheel,) = folder.glob(f"{name}-*.whl")
        found = files(wheel, pattern, drawing)
        print(row(wheel, found, list(looks(found, folder / f"{name}.png"))), flush=True)


if __name__ == "__main__":
    main()
