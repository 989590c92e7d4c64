"""Files of series that people keep: what their columns mean, and by which clock their times are told."""
