"""What is learned of effects that come late or add up, in worlds that have them and in worlds that do not."""
