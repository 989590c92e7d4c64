"""Monitor: read the sources and put working windows on regular grids."""

from tasks.monitor.windows import LONGEST_STEP_S, plan_windows

__all__ = ["LONGEST_STEP_S", "plan_windows"]
