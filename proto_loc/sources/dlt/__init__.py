"""Sources that dlt fetches: REST APIs, SQL databases, and any other ``@dlt.source``.

dlt runs in an environment of its own, in a child process (``child``). Only functions that run there
import it, so that a declaration can be read in every environment.
"""

from proto_loc.sources.dlt.declaration import Code, DltTable, Rest, Sql
from proto_loc.sources.dlt.source import DltSource

__all__ = ["Code", "DltSource", "DltTable", "Rest", "Sql"]
