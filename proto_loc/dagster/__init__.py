"""Dagster: definitions of sources and models, its processes, and the client."""
