"""Dagster: the definitions, the processes and the client."""
