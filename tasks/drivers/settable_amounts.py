"""What every amount that can be set should do next, where no response says what it changes; and which are idle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from math import ceil, nan

import numpy as np

from handlers import ActionHandler
from storage.records import Breach, FloatArray, Frame, Objective, metric_of
from tasks.drivers.amount_steps import (
    AS_FAR,
    Move,
    Shortfall,
    StepTaken,
    StrainHistory,
    most_harmless,
    next_step,
    seen_direction,
    shortfall,
    strain_of,
)
from tasks.drivers.breaches import breach_probability
from tasks.drivers.fitting import DrivenMetrics, row_of, series_of
from tasks.drivers.responses import on_grid
from tasks.objectives.ratios import with_ratios
from tasks.text import number

_SILENT_STEPS = 3
_SMALL_COST = 0.05
_ROOM = 0.9
_LEAST_IDLE_S = 1_800.0
_SURELY_KEPT = 0.05


@dataclass(frozen=True)
class AmountsNow:
    """What is known when amounts are looked at.

    `latest` holds the newest value by series, `turn_s` is the time to the next look, `breaches` are those of the
    metrics' own forecasts, `paths` (n_paths, n_steps) by series the futures of what drives metrics.
    """

    objectives: tuple[Objective, ...]
    frames: Sequence[Frame]
    actions: Mapping[str, ActionHandler]
    driven: DrivenMetrics
    latest: Mapping[str, float] = field(default_factory=dict)
    turn_s: float = 60.0
    breaches: Sequence[Breach] = ()
    paths: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class AmountStep:
    """The next step of an amount: from `now` to `to`, which are equal where it stays, and why.

    `sets` is the amount as actions name it and `series` as it is recorded, `objectives` are those that it is stepped
    for, weightiest first, and `shortfalls` say by objective and series how likely the present amount falls short.
    """

    sets: str
    series: str
    now: float
    to: float
    move: Move
    reason: str
    objectives: tuple[str, ...] = ()
    shortfalls: Mapping[tuple[str, str], tuple[Shortfall, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class SpareAmount:
    """An amount above what was needed for a while, where `to` would have done; the weightiest `objective` it serves.

    It `is_due` unless the last change is still too young to tell what it did.
    """

    sets: str
    series: str
    now: float
    to: float
    objective: str
    is_due: bool = True


@dataclass(frozen=True)
class _Looked:
    objective: Objective
    direction: int
    taken: StepTaken
    history: StrainHistory | None = None


def unit_cost_of(action: ActionHandler) -> float:
    """Return what one unit costs in an hour, 1 being an objective of severity 1 broken for that hour.

    Where nothing is said of it a small cost is assumed, a twentieth for all that can be set together: what idles comes
    back in, and a configured 0 says that it need not.
    """
    if action.unit_cost > 0 or "unit_cost" in action.configured or not action.amounts:
        return action.unit_cost
    return _SMALL_COST / max(abs(action.amounts[-1]), 1e-9)


def amount_steps(known: AmountsNow) -> dict[str, AmountStep]:
    """Return the next step of every amount that an action sets for an objective without a response, by its name."""
    setters: dict[str, list[ActionHandler]] = {}
    for action in known.actions.values():
        if action.enabled and action.sets and action.amounts:
            setters.setdefault(action.sets, []).append(action)
    return {sets: _step(known, sets, setting) for sets, setting in sorted(setters.items())}


def foretold(steps: Mapping[str, AmountStep], breaches: Iterable[Breach], tick: datetime) -> tuple[Breach, ...]:
    """Return breaches with those of stepped objectives as past days foretell them at the present amount.

    The forecast of a metric that amounts hold down has those amounts in it: where days say whether this one suffices,
    they are asked instead.
    """
    own = {(each.objective, each.series): each for each in breaches}
    for step in steps.values():
        for (objective, series), (short, step_s) in step.shortfalls.items():
            earlier = own.get((objective, series)) or Breach(objective=objective, series=series, probability=0.0)
            at = tick + timedelta(seconds=step_s * (short.in_steps + 1)) if short.probability >= 0.5 else None
            moments = {"expected_at": at, "earliest_at": at, "latest_at": at}
            own[(objective, series)] = earlier.model_copy(update={"probability": short.probability, **moments})
    return tuple(own.values())


def spare_amounts(known: AmountsNow, steps: Mapping[str, AmountStep]) -> Iterator[SpareAmount]:
    """Return the amounts of which less would have done for a while, and will do as far as can be foreseen.

    None is spare that costs nothing by declaration, and none whose metrics are not seen to be well: a forecast may add
    on its own, what takes away must have been observed.
    """
    by_name = {each.name: each for each in known.objectives}
    for sets, step in steps.items():
        costs = [unit_cost_of(each) for each in known.actions.values() if each.sets == sets and each.enabled]
        fitted = [each for each in known.objectives if each.capacity == sets and each.name in known.driven.responses]
        is_idle = (
            step.move in {Move.GIVE_BACK, Move.WAIT}
            if step.objectives
            else any(each.measured != sets for each in fitted)
        )
        # Where an objective of its own keeps an amount from idling, it is left to that one.
        is_kept = any(each.side == "above" and each.measured != sets for each in fitted)
        if max(costs, default=0.0) <= 0 or not is_idle or is_kept:
            continue
        to = _lower(known, sets, step.now)
        if to is None or not all(_would_do(known, each, to) for each in fitted):
            continue
        names = [each.name for each in fitted] or list(step.objectives)
        weightiest = max(names, key=lambda name: by_name[name].severity)
        yield SpareAmount(sets, step.series, step.now, to, weightiest, step.move is not Move.WAIT)


def _lower(known: AmountsNow, sets: str, now: float) -> float | None:
    amounts = _allowed(known, [each for each in known.actions.values() if each.sets == sets and each.enabled])
    below = amounts[amounts < now - 1e-9]
    return float(below[-1]) if len(below) else None


def _would_do(known: AmountsNow, objective: Objective, amount: float) -> bool:
    """Tell whether a fitted metric would have kept its bound with a lower amount under what drove it, and will."""
    if objective.measured == objective.capacity:
        return objective.is_met(amount)
    step_s = {series: each.step_s for each in known.frames for series in each.series}
    chance = breach_probability(objective, known.driven, known.paths, step_s, amount)
    if chance is None or chance > _SURELY_KEPT:
        return False
    frame = next((each for each in known.frames if row_of(each, str(objective.driver)) is not None), None)
    driver = row_of(frame, str(objective.driver)) if frame is not None else None
    if frame is None or driver is None:
        return False
    lately = driver[-max(1, ceil(_LEAST_IDLE_S / frame.step_s)) :]
    lately = lately[np.isfinite(lately)]
    now = known.latest.get(objective.measured)
    if not len(lately) or (now is not None and not objective.is_met(now)):
        return False
    response = on_grid(known.driven.responses[objective.name], frame.step_s)
    metric = response.metric(lately, np.array(amount))
    bound = objective.bound
    limit = bound - (1 - _ROOM) * abs(bound) if objective.side == "below" else bound + (1 - _ROOM) * abs(bound)
    return bool((metric <= limit).all() if objective.side == "below" else (metric >= limit).all())


def _step(known: AmountsNow, sets: str, setting: Sequence[ActionHandler]) -> AmountStep:
    frame = next((each for each in known.frames if series_of(each, sets) is not None), None)
    series = series_of(frame, sets) if frame is not None else None
    if frame is None or series is None or not np.isfinite(frame.row(series)).any():
        reason = f"{sets} is not recorded as one series, so nobody can tell what a change would do: record it"
        return AmountStep(sets, sets, nan, nan, Move.STAY, reason)
    row = frame.row(series)
    now = known.latest.get(series, float(row[np.isfinite(row)][-1]))
    amounts = _allowed(known, setting)
    place = int(np.argmin(np.abs(amounts - now)))
    looked = [
        (each, metric, _look(known, each, metric, (frame, row, place), amounts, setting))
        for each in sorted(known.objectives, key=lambda each: (-each.severity, each.name))
        for metric in _metrics(known, each, sets)
    ]
    steps = [each for _, _, each in looked]
    taken = _together(known, steps, place)
    names = tuple(dict.fromkeys(each.objective.name for each in steps))
    short = {
        (each.name, metric): (found, one.history.step_s)
        for each, metric, one in looked
        if one.history is not None
        and (found := shortfall(one.history, round(each.horizon_s / one.history.step_s))) is not None
    }
    unplanned = [each for each in _own(known, sets) if each.name not in known.driven.responses]
    broken = tuple(each.name for each in unplanned if not each.is_met(now))
    if broken and taken.move in {Move.STAY, Move.WAIT, Move.GIVE_BACK}:
        taken, names = StepTaken(Move.RELIEVE, place, f"the objective {broken[0]} is on it"), (*names, *broken)
    taken = _harmless(known, sets, taken, (frame, row, place), amounts, setting, [each for each, _, _ in looked])
    taken = _within_reach(taken, amounts, now, max(each.most_up for each in setting))
    to = float(amounts[taken.to]) if taken.move in {Move.RELIEVE, Move.GIVE_BACK} else now
    if taken.reason == AS_FAR and (bound_by := _bound_by(known, sets, amounts, now)):
        taken = replace(taken, reason=f"it is as far as the objective {bound_by} lets it go")
    return AmountStep(sets, series, now, to, taken.move, _told(sets, now, to, taken), names, short)


def _harmless(
    known: AmountsNow,
    sets: str,
    taken: StepTaken,
    amount_row: tuple[Frame, FloatArray, int],
    amounts: FloatArray,
    setting: Sequence[ActionHandler],
    asking: Sequence[Objective],
) -> StepTaken:
    """Return a move that takes an amount no farther than bounds as grave, which it is not for, were seen to bear."""
    place = amount_row[2]
    gravest = max((each.severity for each in asking), default=0.0)
    for objective in known.objectives:
        if objective in asking or objective.severity < gravest or not objective.kind.bounds_each_value:
            continue
        most = min(_borne(known, objective, amount_row, amounts, setting), default=None)
        broke = f"with more, {objective.name} was broken at once"
        if most is not None and place > most and not _holds(known, objective):
            return StepTaken(Move.RELIEVE, most, broke)
        if most is not None and taken.move is Move.RELIEVE and taken.to > max(most, place):
            return StepTaken(Move.RELIEVE if most > place else Move.STAY, max(most, place), broke)
    return taken


def _holds(known: AmountsNow, objective: Objective) -> bool:
    return all(objective.is_met(value) for series, value in known.latest.items() if objective.matches(series))


def _borne(
    known: AmountsNow,
    objective: Objective,
    amount_row: tuple[Frame, FloatArray, int],
    amounts: FloatArray,
    setting: Sequence[ActionHandler],
) -> Iterator[int]:
    """Yield the highest place of the amount that each series of an objective bears, where a higher one broke it."""
    amount_frame, amount, _ = amount_row
    for frame in (with_ratios(each, [objective]) for each in known.frames):
        for metric in (each for each in frame.series if objective.matches(each)):
            onto = _onto(frame, amount_frame, amount)
            if not np.isfinite(onto).any() or not np.isfinite(frame.row(metric)).any():
                continue
            strain = np.nan_to_num(strain_of(_carried(frame.row(metric)), objective.bound, objective.side), nan=0.0)
            places = np.interp(_carried(onto), amounts, np.arange(len(amounts)))
            latency = ceil(max(each.latency_s for each in setting) / frame.step_s)
            turn = max(1, ceil(known.turn_s / frame.step_s))
            if (most := most_harmless(strain, places, latency, turn)) is not None:
                yield most


def _within_reach(taken: StepTaken, amounts: FloatArray, now: float, most_up: float) -> StepTaken:
    """Return a move that adds no more than may be added at a time."""
    if taken.move is not Move.RELIEVE or amounts[taken.to] <= now + most_up + 1e-9:
        return taken
    reach = np.flatnonzero((amounts > now + 1e-9) & (amounts <= now + most_up + 1e-9))
    if not len(reach):
        return StepTaken(Move.STAY, taken.to, f"the next amount is more than {most_up:g} away, the most at a time")
    return StepTaken(taken.move, int(reach[-1]), f"{taken.reason}, at most {most_up:g} at a time")


def _told(sets: str, now: float, to: float, taken: StepTaken) -> str:
    if taken.move in {Move.RELIEVE, Move.GIVE_BACK}:
        return f"{sets} goes from {number(now, 3)} to {number(to, 3)}: {taken.reason}"
    return f"{sets} stays at {number(now, 3)}: {taken.reason}"


def _allowed(known: AmountsNow, setting: Sequence[ActionHandler]) -> FloatArray:
    """Return the amounts (n_amounts,) that may be set, ascending, within the bounds that objectives put on them."""
    amounts = np.unique([amount for action in setting for amount in action.amounts])
    own = _own(known, str(setting[0].sets))
    kept = np.array([amount for amount in amounts.tolist() if all(each.is_met(amount) for each in own)])
    return kept if len(kept) else amounts


def _bound_by(known: AmountsNow, sets: str, amounts: FloatArray, now: float) -> str | None:
    """Return the objective that keeps an amount from going beyond the last that may be set; None where none does."""
    gap = float(np.diff(amounts).min()) if len(amounts) > 1 else 1.0
    beyond = float(amounts[-1]) + gap if now >= amounts[-1] else float(amounts[0]) - gap
    return next((each.name for each in _own(known, sets) if not each.is_met(beyond)), None)


def _own(known: AmountsNow, sets: str) -> list[Objective]:
    """Return the objectives on an amount itself."""
    return [each for each in known.objectives if each.measured == sets and each.kind.limits_values]


def _metrics(known: AmountsNow, objective: Objective, sets: str) -> list[str]:
    """Return the series of an objective for which an amount is stepped: bounded, not planned, meant by an action."""
    is_planned = objective.name in known.driven.responses
    if is_planned or not objective.kind.limits_values or not is_meant(known, objective, sets):
        return []
    frames = (with_ratios(frame, [objective]) if objective.denominator else frame for frame in known.frames)
    return [series for frame in frames for series in frame.series if objective.matches(series)]


def is_meant(known: AmountsNow, objective: Objective, sets: str) -> bool:
    """Tell whether an amount is for an objective: one says so, or nobody says anything and it is the usual case."""
    if objective.capacity is not None or objective.measured == sets:
        return objective.capacity == sets and objective.measured != sets
    patterns = [pattern for each in known.actions.values() if each.sets == sets for pattern in each.metrics]
    if patterns:
        return any(fnmatchcase(objective.measured, pattern) for pattern in patterns)
    is_amount = any(objective.measured == each.sets for each in known.actions.values())
    is_named = any(each.capacity == sets and each.measured != sets for each in known.objectives)
    return objective.side == "below" and not is_amount and not is_named


def _look(
    known: AmountsNow,
    objective: Objective,
    metric: str,
    amount_row: tuple[Frame, FloatArray, int],
    amounts: FloatArray,
    setting: Sequence[ActionHandler],
) -> _Looked:
    amount_frame, amount, place = amount_row
    frame = next(full for each in known.frames if metric in (full := with_ratios(each, [objective])).series)
    values = frame.row(metric)
    if not np.isfinite(values[-_SILENT_STEPS:]).any():
        silent = f"{metric} has no recent data; nothing is changed blindly"
        return _Looked(objective, 0, StepTaken(Move.STAY, place, silent))
    latency = ceil(max(each.latency_s for each in setting) / frame.step_s)
    onto = _onto(frame, amount_frame, amount)
    if not np.isfinite(onto).any():
        short = f"{setting[0].sets} was not recorded for long enough to tell what it does"
        return _Looked(objective, 0, StepTaken(Move.STAY, place, short))
    there = _carried(onto)
    values = np.append(_carried(values), known.latest.get(metric, np.nan))
    values[-1] = values[-1] if np.isfinite(values[-1]) else values[-2]
    strain = np.nan_to_num(strain_of(values, objective.bound, objective.side), nan=0.0)
    declared = declared_direction(setting, metric, objective)
    shown = seen_direction(strain[:-1], there, latency)
    direction = declared or shown or (1 if objective.side == "below" else 0)
    if direction == 0 or (declared and shown == -direction):
        return _Looked(objective, 0, StepTaken(Move.STAY, place, _unsure(objective, setting[0], declared)))
    places = np.interp(there, amounts, np.arange(len(amounts)))
    last = len(amounts) - 1
    history = StrainHistory(
        strain=strain[:-1],
        place=places if direction > 0 else last - places,
        strain_now=float(strain[-1]),
        now=place if direction > 0 else last - place,
        last_place=last,
        latency=latency,
        turn=max(1, ceil(known.turn_s / frame.step_s)),
        day=frame.season_lengths[0],
        step_s=frame.step_s,
    )
    taken = next_step(history)
    if taken.move in {Move.GIVE_BACK, Move.WAIT} and objective.name in known.driven.silent:
        # For lack of data nothing is given up.
        taken = StepTaken(Move.STAY, history.now, known.driven.unfitted[objective.name])
    if direction < 0:
        # Where less relieves there is nothing to give back: it costs no more.
        is_relief, is_hopeless = taken.move is Move.RELIEVE, taken.move is Move.HOPELESS
        move = taken.move if is_relief or is_hopeless else Move.STAY
        taken = StepTaken(move, last - taken.to if is_relief else place, taken.reason)
    return _Looked(objective, direction, taken, history)


def _unsure(objective: Objective, action: ActionHandler, declared: int) -> str:
    if declared:
        return (
            f"the {action.sets} that {action.name} sets were seen to do the opposite of what it declares for "
            f"{objective.measured}: check its expected_effect"
        )
    return (
        f"whether more or fewer {action.sets} bring {objective.measured} back is not known: say so by "
        f"`expected_effect` of {action.name}"
    )


def declared_direction(setting: Iterable[ActionHandler], metric: str, objective: Objective) -> int:
    """Return 1 where more is declared to relieve a metric, -1 where it is declared to strain it, 0 where nothing is."""
    for action in setting:
        for effects in (action.expected_change, action.expected_effect):
            for name in sorted(effects, key=lambda each: (each not in {metric, metric_of(metric)}, each)):
                if effects[name] and (name == metric or fnmatchcase(metric_of(metric), name)):
                    return 1 if (effects[name] < 0) == (objective.side == "below") else -1
    return 0


def _together(known: AmountsNow, steps: Sequence[_Looked], place: int) -> StepTaken:
    """Return the one step that all metrics of an amount agree to; toward relief the weightiest decides."""
    if not steps:
        return StepTaken(Move.STAY, place, "it is set for other objectives")
    relieving = [each for each in steps if each.taken.move is Move.RELIEVE]
    if relieving:
        return max(relieving, key=lambda each: (each.objective.severity, each.direction * each.taken.to)).taken
    keeping = [each.taken for each in steps if each.taken.move is not Move.GIVE_BACK]
    if keeping:
        first = [Move.HOPELESS, Move.STAY, Move.WAIT]
        return min(keeping, key=lambda each: first.index(each.move))
    for each in steps:
        if each.history is None or _is_foretold(known, each.objective, each.history):
            return StepTaken(Move.STAY, place, f"{each.objective.measured} may break its bound soon")
    return steps[0].taken


def _is_foretold(known: AmountsNow, objective: Objective, history: StrainHistory) -> bool:
    short = shortfall(history, round(objective.horizon_s / history.step_s))
    own = max((each.probability for each in known.breaches if each.objective == objective.name), default=0.0)
    return (own if short is None else short.probability) >= objective.probability_threshold


def _carried(values: FloatArray) -> FloatArray:
    """Return values (n,) with gaps filled by what was seen last, those before the first by the first."""
    seen = np.flatnonzero(np.isfinite(values))
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), seen[0]))
    return np.asarray(values[last])


def _onto(frame: Frame, other: Frame, row: FloatArray) -> FloatArray:
    """Return a row of another frame on the grid of a frame; both end at the same moment."""
    if frame.step_s == other.step_s and frame.values.shape[1] == len(row):
        return row
    age_s = np.arange(frame.values.shape[1] - 1, -1, -1) * frame.step_s
    index = len(row) - 1 - np.floor(age_s / other.step_s).astype(int)
    return np.where(index >= 0, row[np.maximum(index, 0)], np.nan)
