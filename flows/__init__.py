"""The loop and everything that runs it."""

from settings import set_environment_defaults

# Prefect reads these when it is first imported: nothing calls home, not even the server that a notebook starts, and
# that server may take its time on a busy machine.
set_environment_defaults(
    {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }
)
