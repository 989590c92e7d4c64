"""Reports of what was learned."""
