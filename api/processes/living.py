"""Which processes belong to a stack: those that carry its token in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from api.processes.layout import STACK_VARIABLE

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"


@dataclass(frozen=True)
class Member:
    """One process of a stack, and the flow run it executes, where it does."""

    pid: int
    parent_pid: int
    flow_run_id: str | None


def members(token: str) -> Iterator[Member]:
    """Return the living processes of a stack, without this one.

    The environment is inherited by everything a process starts, however deep, and stays when a parent dies: a
    process tree loses those.
    """
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(STACK_VARIABLE) != token or process.pid == os.getpid():
                continue
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            yield Member(process.pid, process.ppid(), environment.get(FLOW_RUN_VARIABLE))
        except (psutil.Error, OSError):
            continue
