"""The processes of ``process-compose.yaml``: who runs them, and how to talk to it.

``choose`` finds process-compose or falls back to ``python -m proto_loc.compose``, which runs the
part of that file's language that the file uses. Both serve the same HTTP API on the same Unix
socket, so there is one ``Client``.
"""
