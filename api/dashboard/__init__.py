"""The pages for people: rendered here, nothing loaded from anywhere else.

A page is complete when it arrives, with its charts drawn as SVG; a short script reloads its live part every five
seconds while it is visible. On the pages of metrics, outcomes and actions Plotly's script then draws a chart to zoom
into (docs/adr/0010-charts.md).
"""
