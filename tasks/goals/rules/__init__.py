"""One file per goal type: each is discovered and has GOAL_TYPE, `propose` and `standing`."""
