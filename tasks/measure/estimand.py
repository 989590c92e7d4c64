"""What will be measured, written down before the action, so that nobody can choose it afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

from storage.errors import ForeactError
from tasks.measure.effect import Better
from tasks.measure.ledger import ErrorLedger


@dataclass(frozen=True)
class Estimand:
    """The quantity an action will be judged by: the metric's mean change over the first `window_steps` steps.

    `forecast_id` names the forecast issued before the action; the level of the test and the interval are
    fixed with it.
    """

    metric: str
    forecast_id: str
    better: Better
    horizon_steps: int
    window_steps: int
    confidence: float = 0.90
    alpha: float = 0.05

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> Estimand:
        """Read what `to_record` wrote. Raises ForeactError `estimand_invalid` on anything else."""
        try:
            estimand = Estimand(**record)
        except TypeError as error:
            raise ForeactError("estimand_invalid", f"No estimand: {error}.", "Give what was stored.") from error
        if estimand.better not in get_args(Better) or not 0 < estimand.window_steps <= estimand.horizon_steps:
            raise ForeactError("estimand_invalid", f"No estimand: {record}.", "Give what was stored.")
        return estimand


def fix_estimand(
    metric: str, forecast_id: str, ledger: ErrorLedger, horizon_steps: int, *, better: Better = "lower"
) -> Estimand:
    """Fix, before acting, what the action will be judged by; the window is what the ledger can support."""
    return Estimand(metric, forecast_id, better, horizon_steps, ledger.window_steps(horizon_steps))
