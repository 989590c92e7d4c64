"""Effects of our own actions on the history: when, how large, and which overlap."""
