"""What the guides tell to write is written and run as it stands; the one for actions ends with a measured effect."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from api.models.ingest import MetricIn
from settings import load_settings, utc_now
from tests import PROJECT
from tests.conftest import free_port

RESULT = r"add_workers changed queue_length by -(\d+) \(90 %: -\d+ to -\d+\): improved"


def written(page: str, folder: Path) -> str:
    """Write every named block of a page into a folder and return the page."""
    text = (PROJECT / "docs" / page).read_text()
    for name, content in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return text


def run(folder: Path, script: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FOREACT_", "PREFECT_"))}
    done = subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_guide_to_an_action_ends_with_the_measured_effect_that_it_tells_of(tmp_path: Path) -> None:
    text = written("write-an-action.md", tmp_path)
    told = re.search(RESULT, text)
    seen = re.fullmatch(RESULT, run(tmp_path, "try_it.py").strip())
    assert told is not None
    assert seen is not None
    # Two workers drain 18 more a step, which is 60 fewer in the end; the window sees the queue on its way there.
    assert 10 < float(seen[1]) < 60
    assert (tmp_path / "workers.txt").read_text() == "6"


@pytest.mark.timeout(300)
def test_the_guide_to_a_source_reads_only_what_is_new(tmp_path: Path) -> None:
    written("write-a-source.md", tmp_path)
    first, second = run(tmp_path, "see_it.py").splitlines()
    assert 'orders_waiting{shop="north"}' in first
    assert "2, 1, 0" in first
    assert "2, 1, 59" in second


def test_every_action_that_the_page_on_acting_sets_up_can_be_read(tmp_path: Path) -> None:
    from handlers import discover_actions
    from handlers.unknown_keys import unread
    from tasks.configured_actions import configured_actions

    text = (PROJECT / "docs" / "acting.md").read_text()
    (tmp_path / "foreact.toml").write_text("\n".join(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)))
    settings, registered = load_settings(tmp_path), discover_actions()
    actions = configured_actions(settings, registered)
    assert len(settings.actions) == 5
    assert all(actions[name].is_ready and actions[name].is_carried_out_here for name in settings.actions)
    options = {name: each.options for name, each in settings.actions.items()}
    assert list(unread(options, {}, registered, {})) == []
    table = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert set(table) <= registered.keys()


class Sink(BaseHTTPRequestHandler):
    """Takes what a service sends to foreact."""

    taken: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        self.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.mark.slow
def test_the_service_of_the_guide_sends_metrics_and_is_given_workers_as_configured(tmp_path: Path) -> None:
    from handlers import discover_actions
    from handlers.contract.action import ActionContext
    from handlers.sandbox.parent import call
    from tasks.configured_actions import configured_actions

    written("watch-my-service.md", tmp_path)
    port, sink = free_port(), ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    for name in ("service.py", "foreact.toml"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("8099", str(port)))
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    environment = {**os.environ, "FOREACT_URL": f"http://127.0.0.1:{sink.server_port}"}
    service = subprocess.Popen([sys.executable, "service.py"], cwd=tmp_path, env=environment)
    try:
        for _ in range(600):
            if Sink.taken:
                break
            time.sleep(0.1)
        (first, *_) = Sink.taken
        assert MetricIn.model_validate(first).metric_name == "response_ms"
        settings = load_settings(tmp_path)
        action = configured_actions(settings, discover_actions())["more_workers"]
        context = ActionContext(tick=utc_now(), options=action.option_values)
        answer = call(action, "run", {"by": 2}, None, context)
        assert "from 2 to 4" in answer.detail
    finally:
        service.kill()
        service.wait()
        sink.shutdown()
        sink.server_close()
