"""The pages for people: rendered here, drawn as SVG, nothing loaded from anywhere else.

A page is complete when it arrives; a short script reloads its live part every five seconds while it is visible.
NiceGUI would do the same for 27 MB more, which the process's budget of 220 MB does not allow.
"""
