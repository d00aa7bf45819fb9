"""Process supervisors for ``process-compose.yaml``, and the client of their API.

``supervisor.choose`` finds process-compose or falls back to ``python -m proto_loc.compose``, a
stand-in. Both serve the same HTTP API on the same Unix socket, so there is one ``Client``.
"""
