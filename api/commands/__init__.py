"""Commands to the facade: decide, record, set objectives."""

from api.commands import ingest, objectives, operator, proposals

__all__ = ["ingest", "objectives", "operator", "proposals"]
