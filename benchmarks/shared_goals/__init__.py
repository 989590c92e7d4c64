"""How well a budget is shared down a tree of services: `trees` runs all, `costs` and `days` are two of its worlds."""
