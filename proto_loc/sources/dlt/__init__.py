"""Sources that dlt fetches: REST APIs, SQL databases, and any other ``@dlt.source``.

dlt runs in an environment of its own, in a child process. This package imports it nowhere, except
in the modules that only the child runs (``child`` and ``looking``).
"""

from proto_loc.sources.dlt.declaration import Code, DltTable, Rest, Sql
from proto_loc.sources.dlt.source import DltSource

__all__ = ["Code", "DltSource", "DltTable", "Rest", "Sql"]
