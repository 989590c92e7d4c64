"""The loop and everything that runs it."""

import os
import sys
from importlib.util import find_spec

ROOMS = ("settings", "plugins", "storage", "handlers", "tasks", "api")


def _taken() -> str | None:
    """Return the first module of somebody else that is imported in the place of one of ours."""
    here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for room in ROOMS:
        known = sys.modules.get(room)
        # A folder of that name without an __init__.py comes from no file and stands in nobody's way.
        found = getattr(known, "__file__", None) if known else getattr(find_spec(room), "origin", None)
        ours = (os.path.join(here, f"{room}.py"), os.path.join(here, room, "__init__.py"))
        if found and os.path.realpath(found) not in ours:
            return f"{found} stands in the place of foreact's own module `{room}`."
    return None


if clash := _taken():
    # Whoever runs a program of his own learns nothing from a traceback through ours.
    sys.exit(f"{clash} Rename it, or take `observed` from the package foreact-client: `from foreact import observed`.")

from settings import set_environment_defaults  # noqa: E402

# Prefect reads these when it is first imported: nothing calls home, not even the server that a notebook starts, and
# that server may take its time on a busy machine.
set_environment_defaults(
    {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }
)
