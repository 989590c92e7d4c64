"""What is wanted: which objectives are in force, how they hang together, where they contradict each other."""
