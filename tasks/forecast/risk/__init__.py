"""From sample paths to risk: breaches, their time, the overall state."""
