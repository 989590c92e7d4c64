"""One file a goal type: each is found by itself and has GOAL_TYPE, `propose` and `standing`."""
