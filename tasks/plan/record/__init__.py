"""Record the choice: plans, decisions with their alternatives, actions."""
