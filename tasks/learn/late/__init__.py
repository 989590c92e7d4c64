"""Effects that come late or add up: a policy learned from logged choices, and what it is worth beside the planner's."""
