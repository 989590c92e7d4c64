"""Monitor: read the sources and put working windows on regular grids."""

from tasks.monitor.windows import LONGEST_STEP_S, FrameWindow, choose_step_s, plan_windows

__all__ = ["LONGEST_STEP_S", "FrameWindow", "choose_step_s", "plan_windows"]
