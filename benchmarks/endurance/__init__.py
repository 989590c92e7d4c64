"""Whether it stays as small and quick as it was, over hours and a month."""
