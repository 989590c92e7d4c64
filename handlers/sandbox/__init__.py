"""Actions run in a process of their own, which a time limit ends with all its children."""
