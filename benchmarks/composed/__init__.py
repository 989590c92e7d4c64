"""Sequences of actions: whether pairs are found that help where no single act does, and what a kill leaves of them."""
