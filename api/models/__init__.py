"""What goes in and out of the REST interface, as typed models with examples."""
