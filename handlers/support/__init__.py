"""Code shared by several built-in actions."""
