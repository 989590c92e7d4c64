"""Requests and responses of the REST interface, as typed models with examples."""
