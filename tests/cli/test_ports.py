"""Where the demo can be looked at while a stack runs: on the next port that is free."""

from __future__ import annotations

import socket

import pytest

from api.processes.preflight import PORTS_TRIED, check_port, free_port_from
from storage import ForeactError

HOST = "127.0.0.1"


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert taken < free_port_from(HOST, taken) < taken + PORTS_TRIED


def test_without_a_free_port_the_first_is_named_with_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 65_535))
        holder.listen()
        with pytest.raises(ForeactError) as refusal:
            free_port_from(HOST, 65_535)
    assert refusal.value.code == "port_in_use"
    assert "Port 65535" in refusal.value.message


@pytest.mark.parametrize("host", ["203.0.113.9", "[::1]", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_told_apart_from_a_port_in_use(host: str) -> None:
    with pytest.raises(ForeactError) as refusal:
        check_port(host, 65_534, "server.prefect_port", "Prefect server")
    assert refusal.value.code == "host_unusable"
    assert host in refusal.value.message
    assert "`server.prefect_host`" in refusal.value.remedy
