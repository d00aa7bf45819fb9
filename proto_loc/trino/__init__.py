"""Trino and Nessie of ``LOC_ENGINE=trino``: their places, identities, servers, and a client.

Nothing here is imported or started with the default engine. ``places``, ``identities`` and
``readiness`` need only the standard library, so that every environment can use them.
"""
