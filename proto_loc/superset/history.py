"""Removes old entries of Superset's event log and query history."""

import logging

from superset.commands.logs.prune import LogPruneCommand
from superset.commands.sql_lab.query import QueryPruneCommand

from proto_loc.settings import settings


def prune() -> None:
    """Remove old entries; saved queries and the text in SQL Lab's tabs stay."""
    logging.getLogger("superset.commands").setLevel(logging.WARNING)  # they log each percent
    for command in (LogPruneCommand, QueryPruneCommand):
        command(settings().superset_history).run()
