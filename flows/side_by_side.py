"""Several configurations over one history at once, each in a process of its own; what both search is found once."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from api.processes.layout import LEAN
from flows.backtest import backtest
from flows.reports.results import BacktestReport
from settings import Settings
from storage import ForeactError, Store, open_store
from storage.samples import SampleColumns

P = ParamSpec("P")
T = TypeVar("T")

SEARCH_EVERY_MINUTES = 180.0
"""Patterns of a month change little in three hours, and looking for them is half of a turn."""


@dataclass(frozen=True)
class Replayed:
    """A configuration, the history to take it over, and how often it takes a turn."""

    settings: Settings
    name: str
    samples: SampleColumns
    start: datetime
    end: datetime
    every_s: float


@dataclass(frozen=True)
class FoundOnce:
    """Keeps what functions found in a folder of processes that trust one another, by function and arguments.

    Who asks the same meanwhile waits for it. Arguments that are told apart, though they be the same, are asked anew.
    """

    folder: Path

    def __call__(self, find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `find` finds, or found here before; arguments and what is found can be pickled."""
        asked = pickle.dumps((find, args, sorted(kwargs.items())))
        place = self.folder / hashlib.blake2b(asked, digest_size=16).hexdigest()
        with place.open("a+b") as kept:
            # The lock ends with the process that holds it, also where that is killed: then there is nothing to read.
            fcntl.flock(kept, fcntl.LOCK_EX)
            kept.seek(0)
            if content := kept.read():
                known: T = pickle.loads(content)
                return known
            found = find(*args, **kwargs)
            kept.write(pickle.dumps(found))
        return found


def side_by_side(
    replays: Sequence[Replayed], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[BacktestReport]:
    """Return the backtest of each configuration over its history, in their order.

    `progress` is given the turns done and those there are, of all together. Raises what a backtest raises; a process
    that ends without a word is `replay_ended`.
    """
    with tempfile.TemporaryDirectory(prefix="foreact-") as found:
        with _lean_children():
            running = [_start(replay, FoundOnce(Path(found))) for replay in replays]
        try:
            answers = _answers([receiver for _, receiver in running], progress)
        finally:
            for process, _ in running:
                process.terminate()
                process.join()
    return [_with_store(each) for each in answers]


class _lean_children:
    """One thread a library for numerics: two processes that each want all processors hinder each other."""

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in LEAN}
        os.environ.update(LEAN)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _start(replay: Replayed, once: FoundOnce) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_replay, args=(sender, replay, once), daemon=True)
    process.start()
    sender.close()
    return process, receiver


def _answers(receivers: Sequence[Connection], progress: Callable[[int, int], None]) -> list[_Answer]:
    answers: dict[Connection, _Answer] = {}
    turns = dict.fromkeys(receivers, (0, 0))
    while len(answers) < len(receivers):
        for ready in wait([each for each in receivers if each not in answers]):
            receiver = cast(Connection, ready)
            said = _received(receiver)
            if isinstance(said, _Refusal):
                raise ForeactError(said.code, said.message, said.remedy, status=said.status)
            if isinstance(said, _Answer):
                answers[receiver] = said
                continue
            turns[receiver] = said
            progress(sum(done for done, _ in turns.values()), sum(total for _, total in turns.values()))
    return [answers[each] for each in receivers]


def _received(receiver: Connection) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        raise ForeactError(
            "replay_ended",
            "A replay ended without a word.",
            "Look above for what it wrote, and whether memory is left; or choose fewer days.",
            status=500,
        ) from None


@dataclass(frozen=True)
class _Answer:
    """A report without its store, which cannot travel, and the samples that this held."""

    report: BacktestReport
    samples: SampleColumns


@dataclass(frozen=True)
class _Refusal:
    """What an error is made of, which cannot travel itself."""

    code: str
    message: str
    remedy: str
    status: int


def _with_store(answer: _Answer) -> BacktestReport:
    store = open_store()
    store.samples.append_columns(answer.samples)
    return replace(answer.report, simulation=replace(answer.report.simulation, store=store))


def _replay(sender: Connection, replay: Replayed, once: FoundOnce) -> None:
    """Take the loop over the history, and send how far it is, then what came of it, or why nothing did."""
    try:
        with open_store() as store:
            store.samples.append_columns(replay.samples)
            report = backtest(
                store,
                _searching_less(replay.settings),
                replay.start,
                replay.end,
                every_s=replay.every_s,
                configuration=replay.name,
                progress=lambda done, total: sender.send((done, total)),
                once=once,
            )
        sender.send(_packed(report))
    except ForeactError as refusal:
        sender.send(_Refusal(refusal.code, refusal.message, refusal.remedy, refusal.status))
    finally:
        sender.close()


def _packed(report: BacktestReport) -> _Answer:
    simulation = report.simulation
    samples = simulation.store.samples.history(datetime.min.replace(tzinfo=report.end.tzinfo), report.end)
    nowhere = cast(Store, None)
    return _Answer(replace(report, simulation=replace(simulation, store=nowhere)), samples)


def _searching_less(settings: Settings) -> Settings:
    forecasting = settings.forecasting
    recognizer = forecasting.pattern_recognizer
    rarer = recognizer.model_copy(update={"refresh_minutes": max(recognizer.refresh_minutes, SEARCH_EVERY_MINUTES)})
    return settings.model_copy(update={"forecasting": forecasting.model_copy(update={"pattern_recognizer": rarer})})
