"""What every detector of this room hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Evidence = str | int | float | bool | None | list["Evidence"] | dict[str, "Evidence"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A regularity and the evidence for it.

    `statement` is one plain-English sentence, `strength` lies in [0, 1], `evidence` is ready for JSON. `next_at_s` is
    the next predicted occurrence in unix seconds, `period_s` the length of one cycle; both only where they make sense.
    """

    kind: str
    subject: str
    statement: str
    strength: float
    p_value: float | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    next_at_s: float | None = None
    period_s: float | None = None

    @property
    def identity(self) -> tuple[str, str, float | None, Evidence]:
        """What tells this finding from every other of one look, and is the same when it is found again later."""
        return self.kind, self.subject, self.period_s, self.evidence.get("at_s")
