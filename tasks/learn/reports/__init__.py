"""What was learned, told to people."""
