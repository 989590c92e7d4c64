"""The schedule of the cycle follows foreact.toml while the stack runs, whoever registered the deployments last.

On a Prefect server that is not ours no turn waits for another one either.
"""

from __future__ import annotations

from api.facade import Facade
from api.prefect_client import PrefectTrigger, schedules_of_cycle
from storage.errors import ForeactError

LOOK_EVERY_S = 10.0


class ScheduleKeeper:
    """Compares what Prefect has with what the file says now, and sets it right where they differ."""

    def __init__(self, facade: Facade, prefect: PrefectTrigger) -> None:
        self._facade, self._prefect = facade, prefect
        self._has_answered = False

    def step(self) -> None:
        """Look once; raises where Prefect does not answer any more, and looks again at the next beat."""
        wanted = schedules_of_cycle(self._facade.in_force)
        try:
            is_news = self._prefect.keep_schedules("cycle", wanted)
        except ForeactError as trouble:
            # Prefect starts, and the deployments are registered, while the facade starts.
            is_starting = trouble.code == "prefect_unreachable" and not self._has_answered
            if is_starting or trouble.code == "deployment_unknown":
                return
            raise
        self._has_answered = True
        if self._facade.settings.prefect_api_url is not None:
            self._prefect.skip_waiting()
        if is_news:
            interval_s = wanted[0]["interval"] if wanted else None
            self._facade.store.audit.append("facade", "schedule set", "cycle", {"interval_s": interval_s})
