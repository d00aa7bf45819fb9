"""Cube: the server's process, its model, and the client."""
