"""Small worlds whose truth is known, on which the loop runs as it ships and as a new user would configure it."""
