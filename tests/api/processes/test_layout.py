"""The environment of a stack's processes: what Prefect's clients need not read, and what they still must."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from api.processes.layout import PLAIN_HTTP_ONLY, new_layout, process_environment
from settings import load_settings

CERTIFICATES = "PREFECT_API_SSL_CERT_FILE"


def test_clients_of_the_own_server_read_one_certificate_by_which_nobody_can_be_certified(tmp_path: Path) -> None:
    environment = process_environment(new_layout(load_settings(tmp_path), tmp_path))
    assert environment[CERTIFICATES] == str(PLAIN_HTTP_ONLY)
    assert environment["PREFECT_API_URL"].startswith("http://")
    (authority,) = ssl.create_default_context(cafile=environment[CERTIFICATES]).get_ca_certs()
    assert ssl.cert_time_to_seconds(str(authority["notAfter"])) < datetime(2021, 1, 1, tzinfo=UTC).timestamp()


def test_clients_of_another_server_verify_it_by_all_authorities(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, prefect_api_url="https://prefect.example.com/api")
    assert CERTIFICATES not in process_environment(new_layout(settings, tmp_path))
