"""The REST interface under /api/autonomous: every module here has a `router`, and is found by itself."""
