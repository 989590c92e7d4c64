"""What an act changed, and how sure that is: data in, estimate out."""
