"""The effect of an action with its uncertainty: data in, estimate out."""
