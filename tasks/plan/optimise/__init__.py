"""Choose which action serves which goal in which slot."""
