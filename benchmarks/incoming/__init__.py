"""What comes in from other programs, and how fast."""
