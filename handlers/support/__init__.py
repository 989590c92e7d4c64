"""What several built-in actions share."""
