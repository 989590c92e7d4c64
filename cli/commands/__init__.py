"""The commands, one a module: `run` with its docstring is the help, `EXAMPLE` ends it."""
