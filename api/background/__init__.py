"""Background work of the facade: sample the host, start `tend`, refresh the cache, notify people."""
