"""Cube: the server process, the projection to its data model, and the client."""
