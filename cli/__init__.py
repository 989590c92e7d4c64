"""The command line: `cli.app` finds the commands in `cli/commands`, the modules here are what they share."""
