"""What the facade does by itself: it samples the host, starts `tend`, keeps answers fresh, tells people."""
