"""A turn of the loop that is due while another one runs: our Prefect server skips it at once, and none has to wait."""

from __future__ import annotations

from typing import Any

from prefect.server.orchestration import dependencies
from prefect.server.orchestration.core_policy import CoreFlowPolicy, SecureFlowConcurrencySlots
from prefect.server.orchestration.policies import FlowRunOrchestrationPolicy
from prefect.server.schemas.states import Completed, State

from api.prefect_client import LOOP_TAGS, SKIPPED


class SkipTakenTurns(SecureFlowConcurrencySlots):
    """Prefect's rule for the one place of a deployment, but for the state of a turn of the loop that finds it taken."""

    async def reject_transition(self, state: State | None, reason: str) -> None:
        """Give a run the state that takes the place of the one asked for: `Skipped` in place of one that waits."""
        if state is not None and set(self.context.run.tags) >= LOOP_TAGS:
            state = Completed(name="Skipped", message=SKIPPED)
        await super().reject_transition(state, reason)


class LoopFlowPolicy(CoreFlowPolicy):
    """Prefect's rules for flow runs, with that one in its place."""

    @staticmethod
    def priority() -> list[Any]:
        """Return the rules in the order in which they are asked."""
        return [SkipTakenTurns if rule is SecureFlowConcurrencySlots else rule for rule in CoreFlowPolicy.priority()]


async def _policy() -> type[FlowRunOrchestrationPolicy]:
    return LoopFlowPolicy


def skip_taken_turns() -> None:
    """Have the Prefect server of this process go by these rules."""
    dependencies.ORCHESTRATION_DEPENDENCIES["flow_policy_provider"] = _policy
