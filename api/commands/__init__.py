"""What people and programs tell the facade to do: decide, record, set objectives."""

from api.commands import ingest, objectives, operator

__all__ = ["ingest", "objectives", "operator"]
