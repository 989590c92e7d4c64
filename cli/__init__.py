"""What the commands of `foreact` do; `cli.app` holds the commands themselves."""
