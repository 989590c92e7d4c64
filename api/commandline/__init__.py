"""What the commands of `foreact` do; `api.cli` holds the commands themselves."""
