"""The home page, and the state of the platform that it and ``loc status --json`` show.

``status`` collects the state as the dataclasses of ``schema``. The server of the page runs
``loc status --json`` as a process, so that it stays small (it imports neither DuckDB nor Dagster),
reads the fork's newest code, and survives whatever ends that process.
"""
