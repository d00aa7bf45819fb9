"""How long Superset keeps what it writes down by itself: what people opened, and the queries that
they ran.
"""

import logging

from superset.commands.logs.prune import LogPruneCommand
from superset.commands.sql_lab.query import QueryPruneCommand

from proto_loc.settings import settings


def prune() -> None:
    """Remove older entries, by Superset's own commands. Saved queries, and the text in SQL
    Lab's tabs, stay.
    """
    logging.getLogger("superset.commands").setLevel(logging.WARNING)  # they report each percent
    for command in (LogPruneCommand, QueryPruneCommand):
        command(settings().superset_history).run()
