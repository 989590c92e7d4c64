"""Brings a database to the newest schema: numbered SQL files, each applied once, in order."""

from __future__ import annotations

from pathlib import Path

from storage.engine.protocol import Engine

MIGRATIONS = Path(__file__).parent


def migrate(engine: Engine) -> int:
    """Apply the migrations that are missing, each in a transaction; return the schema's version."""
    engine.rows("CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ)")
    (newest,) = engine.rows("SELECT coalesce(max(version), 0) FROM schema_versions")[0]
    for file in sorted(MIGRATIONS.glob("*.sql")):
        version = int(file.name.partition("_")[0])
        if version > newest:
            _apply(engine, file, version)
            newest = version
    return int(newest)


def _apply(engine: Engine, file: Path, version: int) -> None:
    with engine.transaction():
        for statement in file.read_text().split(";\n"):
            if statement.strip():
                engine.rows(statement)
        engine.rows("INSERT INTO schema_versions VALUES ($version, now())", {"version": version})
