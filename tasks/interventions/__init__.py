"""What our own acts did to a history: when, how much, and which overlap."""
