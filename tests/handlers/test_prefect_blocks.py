"""What stands in blocks of Prefect is put into options only where they are used, and told to nobody."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.contract.action import ActionContext
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.contract.source import SourceHandler
from handlers.support.prefect_blocks import PrefectBlocks
from handlers.worlds.live import LiveWorld
from storage.errors import ForeactError, TransientError
from storage.private import HIDDEN, SecretText, masked, secrets_in
from storage.records import ReceiptStatus
from tests.conftest import free_port
from tests.tasks.execute.acts import action_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NAMED = {"place": {"block": "secret/db"}, "step_s": 60, "tables": [{"block": "secret/db"}, "plain"]}


class ReadBefore(PrefectBlocks):
    """Blocks that were read before."""

    def __init__(self, **known: Mapping[str, Any]) -> None:
        super().__init__("http://127.0.0.1:9/api")
        self._known = {name.replace("__", "/"): data for name, data in known.items()}


def test_only_a_reference_is_replaced_wherever_it_stands_and_what_it_gives_is_a_secret_under_any_key() -> None:
    options = ReadBefore(secret__db={"value": "hunter2-s3cr3t"}).resolved(NAMED)
    assert options == {"place": "hunter2-s3cr3t", "step_s": 60, "tables": ["hunter2-s3cr3t", "plain"]}
    assert secrets_in(options) == {"hunter2-s3cr3t"}
    assert masked("not hunter2-s3cr3t", secrets_in(options)) == f"not {HIDDEN}"
    assert isinstance(pickle.loads(pickle.dumps(options))["place"], SecretText)


def test_of_a_block_with_many_fields_one_is_named() -> None:
    blocks = ReadBefore(database__db={"host": "db1", "password": "hunter2", "port": 5432, "driver": None})
    named = {"block": "database/db", "field": "password"}
    assert blocks.resolved({"a": named, "b": {**named, "field": "port"}}) == {"a": "hunter2", "b": 5432}
    for reference in ({"block": "database/db"}, {**named, "field": "user"}):
        with pytest.raises(ForeactError, match="has the fields driver, host, password, port"):
            blocks.resolved({"a": reference})


def test_where_no_block_is_named_no_server_is_asked() -> None:
    options = {"url": "http://h", "headers": {"block": "x", "own": "y"}}
    assert ReadBefore().resolved(options) == options


def nowhere() -> PrefectBlocks:
    return PrefectBlocks(f"http://user:hunter2@127.0.0.1:{free_port()}/api")


def test_a_server_that_is_away_is_one_line() -> None:
    with pytest.raises(TransientError, match="block secret/db cannot be read: no answer from Prefect") as trouble:
        nowhere().resolved(NAMED)
    assert "hunter2" not in str(trouble.value)
    with pytest.raises(ForeactError, match="is not named by type and name"):
        nowhere().resolved({"password": {"block": "db"}})


def test_a_source_fails_alone_and_never_tells_what_it_was_given() -> None:
    def pull(options: Mapping[str, Any], since: datetime | None, until: datetime) -> list[Any]:
        raise RuntimeError(f"{options['place']} was refused")

    sources = {
        name: (SourceHandler(name, "", pull), options) for name, options in (("own", NAMED), ("b", {"place": 1}))
    }
    world = LiveWorld({}, lambda: NOW, sources, resolve=ReadBefore(secret__db={"value": "hunter2-s3cr3t"}).resolved)
    assert list(world.observe(NOW)) == []
    assert world.troubles == ["source own: RuntimeError: *** was refused", "source b: RuntimeError: 1 was refused"]
    world.resolve = nowhere().resolved
    assert list(world.observe(NOW)) == []
    assert world.troubles[0].startswith("source own: TransientError: The block secret/db cannot be read")
    assert world.troubles[1] == "source b: RuntimeError: 1 was refused"


def test_an_act_gets_it_and_fails_in_words_where_it_cannot_be_had() -> None:
    @action(name="leaks")
    def leaks(params: Mapping[str, Any], context: ActionContext) -> ActionResult:
        return ActionResult(context.options["place"] == "hunter2-s3cr3t", f"sent {context.options['place']}")

    handler = replace(leaks.handler, option_values=NAMED)
    world = LiveWorld(
        {"leaks": handler}, lambda: NOW, resolve=ReadBefore(secret__db={"value": "hunter2-s3cr3t"}).resolved
    )
    act = action_of("a1", name="leaks")
    receipt = world.act(act, NOW)
    assert (receipt.status, receipt.detail) == (ReceiptStatus.SUCCEEDED, "sent ***")
    world.resolve = nowhere().resolved
    receipt = world.act(act, NOW)
    assert receipt.status is ReceiptStatus.FAILED
    assert "The block secret/db cannot be read" in receipt.detail
