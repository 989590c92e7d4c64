"""Execute: run due actions behind every guard, with an intent before and a receipt after."""

from tasks.execute.guards import effective_level, held_by_level

__all__ = ["effective_level", "held_by_level"]
