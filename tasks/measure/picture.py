"""The picture of an outcome: what was, what was expected, what came, and what the action changed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure.effect import Effect
from tasks.measure.ledger import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICT_COLOURS = {
    Verdict.IMPROVED: "#2e7d32",
    Verdict.WORSE: "#c62828",
    Verdict.NO_EFFECT: "#546e7a",
}
UNDECIDED_COLOUR = "#b26a00"


@dataclass(frozen=True)
class OutcomePicture:
    """What an outcome picture shows; times are aware UTC datetimes, values in the metric's unit.

    `history_at` and `history` are (n,) before the action, `after_at`, `observed`, `counterfactual`, `low` and
    `high` (h,) after it, NaN where missing. `window_steps` of the latter were measured.
    """

    title: str
    metric: str
    acted_at: datetime
    history_at: tuple[datetime, ...]
    history: FloatArray
    after_at: tuple[datetime, ...]
    observed: FloatArray
    counterfactual: FloatArray
    low: FloatArray
    high: FloatArray
    window_steps: int
    effect: Effect

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values, None for missing, for a chart drawn in the browser."""
        arrays = ("history", "observed", "counterfactual", "low", "high")
        return {
            "title": self.title,
            "metric": self.metric,
            "acted_at": self.acted_at.isoformat(),
            "history_at": [moment.isoformat() for moment in self.history_at],
            "after_at": [moment.isoformat() for moment in self.after_at],
            **{name: _plain(getattr(self, name)) for name in arrays},
            "window_steps": self.window_steps,
            "verdict": str(self.effect.verdict),
            "caption": caption(self.effect),
        }


def outcome_picture(
    *,
    action: str,
    metric: str,
    acted_at: datetime,
    history_at: Sequence[datetime],
    history: FloatArray,
    after_at: Sequence[datetime],
    observed: FloatArray,
    forecast: FloatArray,
    effect: Effect,
    band: tuple[FloatArray, FloatArray] | None = None,
) -> OutcomePicture:
    """Gather what an outcome picture shows.

    `history` (n,) lies at `history_at`, `observed` and `forecast` (h,) at `after_at`. The counterfactual is
    the forecast issued before the action; its `band` is the forecast's own low and high quantile (h,), or,
    without one, the measured window's uncertainty around every step. Raises ForeactError `picture_shape`
    where lengths disagree.
    """
    history, observed, forecast = (np.asarray(each, np.float64) for each in (history, observed, forecast))
    half = (effect.high - effect.low) / 2
    low, high = band if band is not None else (forecast - half, forecast + half)
    lengths = {len(after_at), len(observed), len(forecast), len(low), len(high)}
    if len(lengths) > 1 or len(history_at) != len(history):
        raise ForeactError(
            "picture_shape",
            f"{len(history_at)} moments came with {len(history)} past values, {sorted(lengths)} after the action.",
            "Give one moment a value, and observed, forecast and band of one length.",
        )
    return OutcomePicture(
        f"{action} on {metric}: {effect.verdict}",
        metric,
        acted_at,
        tuple(history_at),
        history,
        tuple(after_at),
        observed,
        forecast,
        np.asarray(low, np.float64),
        np.asarray(high, np.float64),
        effect.window_steps,
        effect,
    )


def caption(effect: Effect) -> str:
    """Say the effect in one line."""
    if not np.isfinite(effect.low):
        return f"{effect.verdict}: {effect.reason}"
    share = f" ({effect.relative_ratio:+.1%})" if np.isfinite(effect.relative_ratio) else ""
    interval = f"{effect.confidence:.0%} interval {effect.low:+.3g} to {effect.high:+.3g}"
    return f"{effect.verdict}: {effect.estimate:+.3g}{share}, {interval}; {effect.reason}"


def render(picture: OutcomePicture, image_format: Literal["svg", "png"] = "svg") -> bytes:
    """Draw an outcome picture; the same picture gives the same bytes.

    Uses matplotlib's object interface on the Agg and SVG canvases: no display, no state shared between calls.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.add_subplot(), picture)
    _caption_below(figure, picture.effect)
    metadata = {"Date": None} if image_format == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "foreact", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=image_format, dpi=110, metadata=metadata)
    return buffer.getvalue()


def _draw(axes: Axes, picture: OutcomePicture) -> None:
    after: Any = picture.after_at
    before: Any = picture.history_at
    acted: Any = picture.acted_at
    axes.plot(before, picture.history, color="#37474f", linewidth=1, label="before")
    axes.fill_between(after, picture.low, picture.high, color="#1565c0", alpha=0.15, linewidth=0)
    axes.plot(after, picture.counterfactual, color="#1565c0", linestyle="--", label="expected without action")
    colour = VERDICT_COLOURS.get(picture.effect.verdict, UNDECIDED_COLOUR)
    axes.plot(after, picture.observed, color=colour, linewidth=1.5, label="observed")
    axes.axvline(acted, color="black", linewidth=1, linestyle=":", label="action")
    if 0 < picture.window_steps <= len(after):
        axes.axvspan(acted, after[picture.window_steps - 1], color=colour, alpha=0.06, linewidth=0)
    axes.set_title(picture.title, loc="left", fontsize=11)
    axes.set_ylabel(picture.metric)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False, ncols=4)


def _caption_below(figure: Figure, effect: Effect) -> None:
    figure.supxlabel(caption(effect), x=0.01, ha="left", fontsize=8)


def _plain(values: FloatArray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
