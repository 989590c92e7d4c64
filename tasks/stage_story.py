"""What each stage of a turn came to, in a sentence: for logs, run names and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tasks.text import listed

Summary = Mapping[str, Any]


def told(stage: str, summary: Summary) -> str:
    """Return what a stage came to, from the summary that is kept with the cycle; "" for a stage without a sentence."""
    tell = _SENTENCES.get(stage)
    return tell(summary) if tell else ""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _monitor(summary: Summary) -> str:
    count = int(summary.get("series", 0))
    return f"Watching {counted(count, 'series', 'series')}." if count else "Nothing is recorded lately."


def _patterns(summary: Summary) -> str:
    found = [counted(int(count), *_KINDS.get(kind, (kind.replace("_", " "),))) for kind, count in summary.items()]
    return f"Found {listed(found)}." if found else "Found no pattern."


def _forecast(summary: Summary) -> str:
    count, refused = int(summary.get("forecasts", 0)), int(summary.get("refusals", 0))
    likely = int(summary.get("likely_breaches", 0))
    parts = [f"Forecast {counted(count, 'series', 'series')}"]
    parts += [f"{refused:,} cannot be forecast yet"] if refused else []
    parts += [f"{counted(likely, 'breach is', 'breaches are')} likely" if likely else "no breach is likely"]
    state = summary.get("state", "unknown")
    return f"{'; '.join(parts)}." + ("" if state == "unknown" else f" The state is {state}.")


def _goals(summary: Summary) -> str:
    count = int(summary.get("open", 0))
    return f"{counted(count, 'goal is', 'goals are')} open." if count else "No goal is open."


def _share(summary: Summary) -> str:
    return " ".join(f"{each}." for each in summary.get("shares", ()))


def _plan(summary: Summary) -> str:
    actions = [str(each) for each in summary.get("actions", ())]
    if actions:
        return f"Planned {listed(actions)}."
    return f"Decided on {counted(int(summary.get('decisions', 0)), 'goal')}: nothing is to be done."


def _execute(summary: Summary) -> str:
    done = [f"{counted(int(count), 'action')} {status.replace('_', ' ')}" for status, count in summary.items()]
    return f"{listed(done)}." if done else "Nothing was due."


def _measure(summary: Summary) -> str:
    verdicts = [f"{int(count):,} {verdict.replace('_', ' ')}" for verdict, count in summary.items()]
    return f"Measured what acts changed: {listed(verdicts)}." if verdicts else "No act was to be measured."


def _learn(summary: Summary) -> str:
    count = int(summary.get("outcomes", 0))
    return f"Learned; {counted(count, 'outcome')} so far." if count else "Nothing new was to be learned."


_KINDS: Mapping[str, tuple[str, str]] = {
    "anomaly": ("anomaly", "anomalies"),
    "comovement": ("co-movement", "co-movements"),
    "seasonality": ("season", "seasons"),
    "change_point": ("level shift", "level shifts"),
}
_SENTENCES: Mapping[str, Callable[[Summary], str]] = {
    "monitor": _monitor,
    "patterns": _patterns,
    "measure": _measure,
    "forecast": _forecast,
    "goals": _goals,
    "share": _share,
    "plan": _plan,
    "execute": _execute,
    "learn": _learn,
}
