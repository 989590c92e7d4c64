"""One file a rule: each is found by itself and has GOAL_TYPE, `propose` and `standing`."""
