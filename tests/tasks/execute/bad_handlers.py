"""Handlers that misbehave; a module of their own, since the process that runs them imports it."""

from __future__ import annotations

import os
import time
from typing import Any


def boom(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    raise RuntimeError("the database is away")


def rubbish(params: dict[str, Any], goal_id: str) -> Any:
    return ["yes"]


def endless(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    while True:
        time.sleep(1)


def slow_in_a_thread(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    time.sleep(1)
    return {"success": True}


def dying(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    os._exit(3)
