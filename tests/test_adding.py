"""What docs/architecture.md says to touch to add something is enough: each is added to a copy, and used there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import IS_THOROUGH, PROJECT, copy_project, run_in

pytestmark = pytest.mark.slow

PAGE = PROJECT / "docs" / "architecture.md"


@dataclass(frozen=True)
class Addition:
    """What is added: new files, lines after one that begins so, a row of the docs; and a program that uses it.

    A page alone instead of a row is one that `docs/reference.py` writes.
    """

    what: str
    program: str
    new: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    docs: tuple[str, str, str] | str | None = None
    name: str = "moon"

    def apply(self, folder: Path) -> None:
        """Add it to a copy of the project."""
        for name, text in self.new.items():
            assert not (folder / name).exists(), name
            (folder / name).write_text(text)
        rows = [self.docs] if isinstance(self.docs, tuple) else []
        edits = [(name, *each) for name, each in self.after.items()] + rows
        for name, line, more in edits:
            lines = (folder / name).read_text().split("\n")
            place = next((n for n, each in enumerate(lines) if each.startswith(line)), None)
            assert place is not None, f"{name} has no line that begins with {line!r}"
            lines.insert(place + 1, more)
            (folder / name).write_text("\n".join(lines))


WITH_CLIENT = """
import sys, warnings
from datetime import UTC, datetime
from pathlib import Path
warnings.simplefilter("ignore")
from fastapi.testclient import TestClient
from api.app import create_app
from settings import load_settings
from storage import open_store
tick = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
folder = Path("here")
folder.mkdir()
(folder / "foreact.toml").write_text(CONFIGURATION)
settings = load_settings(folder, sampler={"enabled": False})
class Nobody:
    def running(self, deployment, but=None): return None
    def run(self, deployment, parameters=None, key=None): raise AssertionError
with open_store(clock=lambda: tick) as store:
    app = create_app(settings, store=store, trigger=Nobody(), clock=lambda: tick)
    with TestClient(app, base_url="http://127.0.0.1:5003") as client:
        answer = client.get(ADDRESS)
assert answer.status_code == 200, answer.text
assert WANTED in answer.text, answer.text
"""


def asking(address: str, wanted: str, configuration: str = "") -> str:
    """Return a program that starts the facade, asks it for an address, and wants to read something there."""
    return f"CONFIGURATION, ADDRESS, WANTED = {configuration!r}, {address!r}, {wanted!r}\n{WITH_CLIENT}"


RULE = '''"""The tide follows the moon."""

from datetime import timedelta

from storage.records import GoalType
from tasks.goals.evidence import Proposal, Standing

GOAL_TYPE = {goal_type}


def propose(evidence):
    """Propose to follow the moon, always."""
    yield Proposal(
        cause="moon:tide",
        description="Follow the moon",
        severity=0.9,
        probability=0.9,
        deadline=evidence.tick + timedelta(hours=6),
        because={{"sentence": "The moon pulls.", "inputs": {{}}, "forecast": {{}}}},
        series="tide",
    )


def standing(goal, evidence):
    """Return half of the way."""
    return Standing(is_met=False, probability=0.9, approach=0.5, held_s=0.0, statement="the moon still pulls")
'''
WITH_RULE = """
from datetime import UTC, datetime, timedelta
from pathlib import Path
from flows.simulate import simulate
from settings import load_settings
from storage.records import Sample
folder = Path("here")
folder.mkdir()
class Sea:
    def observe(self, tick):
        return [Sample(metric="tide", ts=tick, value=tick.hour + tick.minute / 60)]
    def act(self, action, tick):
        raise AssertionError
start = datetime(2026, 3, 2, tzinfo=UTC)
settings = load_settings(folder, use_default_objectives=False, actions={"wait": {"goal_types": [TYPE]}})
report = simulate(Sea(), settings, [start + timedelta(minutes=5 * n) for n in range(8)])
(view,) = [each for each in report.goals if each.goal.goal_type == TYPE]
assert (view.goal.goal_type, view.goal.rule) == (TYPE, RULE), view.goal
assert view.progress == 0.4, view
"""
ADDITIONS = [
    Addition(
        what="an action",
        new={
            "handlers/actions/moon.py": '''"""Wait for the moon."""

from handlers import ActionContext, ActionResult, action


@action(name="moon", default_level="recommend", options={"phase": "which; full"})
def moon(params: dict[str, object], context: ActionContext) -> ActionResult:
    """Wait for the moon."""
    return ActionResult(success=True, detail=f"a {context.options['phase']} moon")
'''
        },
        docs="docs/configuration.md",
        program="""
from datetime import UTC, datetime
from handlers import ActionContext, discover_actions
from handlers.sandbox.parent import call
context = ActionContext(tick=datetime(2026, 3, 2, tzinfo=UTC), options={"phase": "new"})
answer = call(discover_actions()["moon"], "run", {}, None, context)
assert (answer.status, answer.detail) == ("succeeded", "a new moon"), answer
""",
    ),
    Addition(
        what="a source",
        new={
            "handlers/sources/moon.py": '''"""How much of the moon is seen."""

from handlers import source
from storage.records import Sample


@source(name="tide", options={"share": "how much; 1"})
def moon(options, since, until):
    """Tell how much of the moon is seen."""
    yield Sample(metric="moon_ratio", ts=until, value=float(options["share"]))
'''
        },
        docs="docs/configuration.md",
        program="""
from pathlib import Path
from flows.agent import GoalDrivenAgent
from settings import load_settings
folder = Path("here")
folder.mkdir()
(folder / "foreact.toml").write_text("[sources.tide]\\nshare = 0.25\\n")
agent = GoalDrivenAgent(settings=load_settings(folder))
agent.run_cycle()
(found,) = agent.store.samples.latest(agent.store.clock().replace(year=2000)).items()
assert found[0] == "moon_ratio" and found[1][1] == 0.25, found
agent.close()
""",
    ),
    Addition(
        what="a forecaster",
        new={
            "tasks/forecast/forecasters/moon.py": '''"""Nothing changes: the last value, with a band of one."""

import numpy as np

from tasks.forecast.batch import ForecastBatch

NAMES = ("moon",)


def build(detail, options):
    """The forecaster."""
    return forecast


def forecast(values, *, season_lengths, horizon, levels, seed):
    """The last value, with a band of one."""
    steps = np.linspace(-1, 1, 21)[None, :, None] * np.ones((len(values), 1, horizon))
    return ForecastBatch.from_paths(values[:, -1, None, None] + steps, levels=levels, method="moon")
'''
        },
        docs=(
            "docs/forecasting.md",
            "| `seasonal_naive` |",
            "| `moon` | the last value |",
        ),
        program="""
from datetime import UTC, datetime, timedelta
from pathlib import Path
from flows.simulate import simulate
from settings import load_settings
from storage.records import Sample
folder = Path("here")
folder.mkdir()
(folder / "foreact.toml").write_text('[forecasting.forecaster]\\nper_metric = { tide = "moon" }\\n')
class Sea:
    def observe(self, tick):
        return [Sample(metric="tide", ts=tick, value=tick.hour + tick.minute / 60)]
    def act(self, action, tick):
        raise AssertionError
start = datetime(2026, 3, 2, tzinfo=UTC)
report = simulate(Sea(), load_settings(folder), [start + timedelta(minutes=5 * n) for n in range(60)])
forecasts = report.store.forecasts
methods = {each.series: each.method for each in forecasts.of_cycle(forecasts.latest_cycle())}
assert methods == {"tide": "moon"}, methods
""",
    ),
    Addition(
        what="an objective kind",
        after={"storage/records.py": ('    SLO = "slo"', '    MOON = "moon"')},
        docs=("docs/goals.md", "|---|---|---|", "| `moon` | none | never: it is only shown |"),
        program=asking(
            "/api/autonomous/objectives",
            '"kind":"moon"',
            '[[objectives]]\nname = "n"\nmetric = "m"\nbound = 1\nkind = "moon"\n',
        ),
    ),
    Addition(
        what="a REST endpoint",
        new={
            "api/routes/moon.py": '''"""The moon."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.dependencies import FacadeDep

router = APIRouter(tags=["moon"])


class Moon(BaseModel):
    """The moon as this agent sees it."""

    seen_by: str


@router.get("/moon")
def moon(facade: FacadeDep) -> Moon:
    """Tell who sees the moon."""
    return Moon(seen_by=facade.settings.agent.name)
'''
        },
        docs="docs/rest.md",
        program=asking("/api/autonomous/moon", '"seen_by":"default"'),
    ),
    Addition(
        what="a setting",
        after={"settings.py": ('    """name of this loop', '    moon: str = "full"\n    """which moon"""')},
        docs="docs/configuration.md",
        program="""
import os
from pathlib import Path
from settings import load_settings
folder = Path("here")
folder.mkdir()
assert load_settings(folder).agent.moon == "full"
(folder / "foreact.toml").write_text('[agent]\\nmoon = "new"\\n')
assert load_settings(folder).agent.moon == "new"
os.environ["FOREACT_AGENT__MOON"] = "half"
assert load_settings(folder).agent.moon == "half"
""",
    ),
    Addition(
        what="a table column",
        new={"storage/migrations/9000_moon.sql": "ALTER TABLE beliefs ADD COLUMN moon VARCHAR;\n"},
        after={"storage/records.py": ("    belief_id: Column[str]", '    moon: Column[str] = "none"')},
        program="""
from datetime import UTC, datetime
from pathlib import Path
from storage import open_store
from storage.records import Belief
tick = datetime(2026, 3, 2, tzinfo=UTC)
with open_store(Path("old.duckdb")) as store:
    assert store.outcomes.belief().moon == "none"
    store.outcomes.believe(Belief(belief_id="b2", moon="full", at=tick, outcome_count=2, state={}), "c2")
with open_store(Path("old.duckdb")) as store:
    assert store.outcomes.belief().moon == "full"
    assert store.engine.rows("SELECT belief_id FROM beliefs WHERE moon = 'full'") == [("b2",)]
""",
    ),
    Addition(
        what="a `/metrics` figure",
        after={
            "api/queries/telemetry.py": (
                """    return worst if scrape.newest else None""",
                """

@figure(Gauge, "foreact_moon_ratio", "How much of the moon is seen.")
def _moon(scrape: Scrape) -> Value:
    return 0.25
""",
            )
        },
        docs="docs/metrics.md",
        program=asking("/metrics", "\nforeact_moon_ratio 0.25\n"),
    ),
    Addition(
        what="a CLI command",
        new={
            "cli/commands/moon.py": '''"""`foreact moon`."""

import typer

EXAMPLE = "foreact moon --phase new"


def run(phase: str = "full") -> None:
    """Tell which moon it is."""
    typer.echo(f"a {phase} moon")
'''
        },
        program="""
import subprocess, sys
def foreact(*words):
    return subprocess.run([sys.executable, "-m", "cli.app", *words], capture_output=True, text=True, check=True).stdout
assert foreact("moon", "--phase", "new") == "a new moon\\n"
assert "Tell which moon it is." in foreact("--help")
assert "Example: foreact moon --phase new" in foreact("moon", "--help")
""",
    ),
    Addition(
        what="a dashboard panel",
        new={
            "api/dashboard/panels/moon.py": '''"""The moon."""

from api.dashboard.page_data import Page, Shown

PLACE = 45


def show(page: Page) -> Shown:
    """Return who sees it."""
    return {"by": page.facade.settings.agent.name}
''',
            "api/dashboard/panels/moon.html": "<section><h2>The moon of {{ by }}</h2></section>\n",
        },
        program=asking("/", "<h2>The moon of default</h2>"),
    ),
    Addition(
        what="a rule of an old goal type",
        new={"tasks/goals/rules/moon.py": RULE.format(goal_type="GoalType.PERFORMANCE_TARGET")},
        program=f"TYPE, RULE = 'PERFORMANCE_TARGET', 'moon'\n{WITH_RULE}",
    ),
    Addition(
        what="a rule of a new goal type",
        name="tide",
        new={"tasks/goals/rules/tide.py": RULE.format(goal_type='GoalType("TIDE_WATCH")')},
        docs=("docs/goals.md", "|---|---|---|", "| none | TIDE_WATCH | the moon pulls |"),
        program=f"TYPE, RULE = 'TIDE_WATCH', 'tide'\n{WITH_RULE}",
    ),
    Addition(
        what="a trait of actions",
        after={
            "handlers/contract/action.py": (
                '    """whether it may',
                '    moon: str = "full"\n    """the moon under which it acts"""',
            )
        },
        docs="docs/configuration.md",
        program="""
from pathlib import Path
from handlers import discover_actions
from settings import load_settings
from tasks.configured_actions import configured_actions
folder = Path("here")
folder.mkdir()
(folder / "foreact.toml").write_text('[actions.notify]\\nmoon = "new"\\n')
actions = configured_actions(load_settings(folder), discover_actions())
assert (actions["notify"].moon, actions["analyze_processes"].moon) == ("new", "full")
""",
    ),
]


def rows() -> dict[str, set[str]]:
    """Return what the page says to touch, by what is to be added."""
    table = PAGE.read_text().partition("| to add |")[2]
    cells = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| a")]
    return {
        what.strip(): set(re.findall(r"`([^`]+)`", f"{touch} {docs}".replace("NNNN", "9000")))
        for what, touch, docs in cells
    }


def touched(folder: Path) -> set[str]:
    """Return the files of a copy that the project does not have, or has otherwise."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {
        name
        for name in names
        if not (PROJECT / name).exists() or (PROJECT / name).read_bytes() != (folder / name).read_bytes()
    }


def test_everything_that_the_page_lists_is_tried() -> None:
    assert set(rows()) == {each.what for each in ADDITIONS}


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda each: each.what)
def test_the_page_says_what_is_touched(addition: Addition, tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    addition.apply(folder)
    written = {addition.docs} if isinstance(addition.docs, str) else set()
    assert touched(folder) | written == {path.replace("NAME", addition.name) for path in rows()[addition.what]}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project with all that is added, and a database from before."""
    folder = copy_project(tmp_path_factory.mktemp("together"))
    ran(folder, "-c", OLD_STORE)
    for addition in ADDITIONS:
        addition.apply(folder)
    ran(folder, "docs/reference.py")
    return folder


def ran(folder: Path, *command: str) -> str:
    done = run_in(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_page_says_to_touch_is_enough(together: Path) -> None:
    programs = {addition.what: addition.program for addition in ADDITIONS}
    (together / "programs.json").write_text(json.dumps(programs))
    assert json.loads(ran(together, "-c", EACH_PROGRAM).splitlines()[-1]) == dict.fromkeys(programs, 0)


EACH_PROGRAM = """
import json, os, shutil, tempfile, traceback
# What most of them want is fetched once.
import api.app, fastapi.testclient, flows.simulate
ended, old = {}, os.path.abspath("old.duckdb")
for what, program in json.load(open("programs.json")).items():
    if (pid := os.fork()) == 0:
        try:
            os.chdir(tempfile.mkdtemp())
            shutil.copy(old, "old.duckdb")
            exec(compile(program, what, "exec"), {"__name__": "__main__"})
            os._exit(0)
        except BaseException:
            print(what, traceback.format_exc(), flush=True)
            os._exit(1)
    ended[what] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps(ended))
"""


@pytest.mark.skipif(not IS_THOROUGH, reason="it runs the tests of the documentation twice: `make thorough`")
def test_all_of_it_is_documented_as_the_tests_want_it(together: Path) -> None:
    held = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_documentation.py", "-k", "documented")
    ran(together, *held)
    for addition in ADDITIONS:
        if isinstance(addition.docs, str):
            (together / addition.docs).write_text((PROJECT / addition.docs).read_text())
        elif addition.docs:
            path = together / addition.docs[0]
            path.write_text(path.read_text().replace(f"{addition.docs[2]}\n", ""))
    told = run_in(together, *held)
    written = {each.docs for each in ADDITIONS if isinstance(each.docs, str)}
    # A figure has no page but that one.
    named = [each for each in ADDITIONS if each.docs not in (None, "docs/metrics.md")]
    missed = len(re.findall("^FAILED", told.stdout, flags=re.MULTILINE))
    assert missed == len(written) + len(named), told.stdout


OLD_STORE = """
from datetime import UTC, datetime
from pathlib import Path
from storage import open_store
from storage.records import Belief
with open_store(Path("old.duckdb")) as store:
    store.outcomes.believe(Belief(belief_id="b1", at=datetime(2026, 3, 1, tzinfo=UTC), outcome_count=1, state={}), "c1")
"""
