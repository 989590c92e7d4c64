"""Where everything of one stack lies, and the environment that all its processes share."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import settings as settings_module
from api.prefect_client import login_of_own_server
from settings import Settings, browsable, child_environment, is_loopback
from storage import lock_file
from storage.private import without_login

POOL = "foreact"
OUR_PACKAGES = "api,flows,handlers,storage,tasks"
STACK_VARIABLE = "FOREACT_STACK"
FOLDER_VARIABLE = "FOREACT_FOLDER"
LEAN = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # Of its hundred threads that serve others, DuckDB's allocator would keep memory for each: a third of the facade.
    "DUCKDB_JE_MALLOC_CONF": "tcache_max:4096,dirty_decay_ms:200,muzzy_decay_ms:0",
}
"""One thread a library for numerics, and memory that is given back soon."""
PLAIN_HTTP_ONLY = Path(__file__).with_name("plain_http_only.pem")
"""A certificate by which nobody can be certified: it was valid for a day in 2020, and its key is gone.

Each of Prefect's clients reads all authorities of the web when it is made, though our own server speaks plain HTTP. A
flow run makes a dozen of them: that was a third of what an empty one costs.
"""
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
_OF_ANOTHER_SERVER = (
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_PROFILE",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)


def own_origins(port: int) -> tuple[str, ...]:
    """Return the origins of the own pages of our Prefect server."""
    return tuple(f"http://{name}:{port}" for name in LOCAL_NAMES)


@dataclass(frozen=True)
class Layout:
    """The places of one stack; `token` marks every process that belongs to it."""

    settings: Settings
    folder: Path
    token: str

    @property
    def project(self) -> Path:
        """Return the folder our packages lie in."""
        return Path(settings_module.__file__).parent

    @property
    def deployments_file(self) -> Path:
        """Return `prefect.yaml`: at the root of the project, or where an installed wheel keeps it."""
        at_root = self.project / "prefect.yaml"
        return at_root if at_root.exists() else self.project / "flows" / "prefect.yaml"

    @property
    def home(self) -> Path:
        """Return where the stack keeps what it writes."""
        return self.settings.home

    @property
    def logs(self) -> Path:
        """Return the folder of the log files."""
        return self.home / "logs"

    @property
    def flow_log(self) -> Path:
        """Return the file which all flow runs write to."""
        return self.logs / "flows.log"

    @property
    def engine_socket(self) -> Path:
        """Return where flow runs are asked for of a process that has imported everything."""
        return self.home / "engine.socket"

    @property
    def prefect_home(self) -> Path:
        """Return the Prefect home of this stack; the user's own is left alone."""
        return self.home / "prefect"

    @property
    def lock(self) -> Path:
        """Return the file that a running stack holds locked."""
        return lock_file(self.settings.database_path)

    @property
    def owns_server(self) -> bool:
        """Tell whether this stack starts a Prefect server of its own."""
        return self.settings.prefect_api_url is None

    @property
    def facade_url(self) -> str:
        """Return the address of the facade."""
        return f"http://{browsable(self.settings.server.host)}:{self.settings.server.port}"

    @property
    def prefect_ui_url(self) -> str:
        """Return the address of the Prefect UI."""
        return without_login(self.settings.prefect_url).rstrip("/").removesuffix("/api")


def new_layout(settings: Settings, folder: Path) -> Layout:
    """Return the layout of a stack that is about to start."""
    return Layout(settings, folder, secrets.token_hex(8))


def current_layout(settings: Settings) -> Layout:
    """Return the layout of the stack that started this process."""
    environment = child_environment({})
    return Layout(settings, Path(environment[FOLDER_VARIABLE]), environment[STACK_VARIABLE])


def python(*arguments: str) -> tuple[str, ...]:
    """Return a command for this interpreter; `-P` keeps a user's `settings.py` or `tasks/` from shadowing ours."""
    return (sys.executable, "-P", *arguments)


def process_environment(layout: Layout) -> dict[str, str]:
    """Return the environment of every process: our Prefect home, nothing that calls home, one thread a library."""
    environment = child_environment(_prefect_variables(layout) | _own_variables(layout))
    if layout.owns_server:
        for name in _OF_ANOTHER_SERVER:
            environment.pop(name, None)
        environment |= _login(layout)
    inherited = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = ":".join(part for part in (str(layout.project), inherited) if part)
    return environment


def _login(layout: Layout) -> dict[str, str]:
    """Return what makes our Prefect server ask for a login, and all our clients have it."""
    login = login_of_own_server(layout.settings)
    if login is None:
        return {}
    return {"PREFECT_SERVER_API_AUTH_STRING": login, "PREFECT_API_AUTH_STRING": login}


def _own_variables(layout: Layout) -> dict[str, str]:
    return {
        FOLDER_VARIABLE: str(layout.folder),
        STACK_VARIABLE: layout.token,
        # Where the last usable configuration lies must be known while foreact.toml cannot be read.
        "FOREACT_HOME": str(layout.home),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
    } | LEAN


def _prefect_variables(layout: Layout) -> dict[str, str]:
    home = layout.prefect_home
    variables = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_API_URL": layout.settings.prefect_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        # The worker's questions are half of what an idle server costs; the loops below half of the rest.
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "15",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "10",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "30",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "30",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "30",
        "PREFECT_WORKER_PREFETCH_SECONDS": "5",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_LOGGING_EXTRA_LOGGERS": OUR_PACKAGES,
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_CLI_COLORS": "false",
    }
    if layout.owns_server:
        variables |= {
            "PREFECT_API_SSL_CERT_FILE": str(PLAIN_HTTP_ONLY),
            # The server is of the same installation: that its version fits need not be asked in every run.
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),
            "PREFECT_UI_API_URL": layout.settings.prefect_url
            if is_loopback(layout.settings.server.prefect_host)
            else "/api",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(own_origins(layout.settings.server.prefect_port)),
        }
    return variables
