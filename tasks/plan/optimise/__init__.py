"""The choice: which action for which goal in which slot."""
