"""Monitor: pull what sources have, and lay the working windows on regular grids."""

from tasks.monitor.windows import Window, choose_step_s, plan_windows

__all__ = ["Window", "choose_step_s", "plan_windows"]
