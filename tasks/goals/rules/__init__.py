"""One file a rule: each is discovered and has GOAL_TYPE, `propose` and `standing`."""
