"""What you read to write an action or a source."""
