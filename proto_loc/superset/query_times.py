"""Measures the time of each query of a person: the data of a chart, and a statement of SQL Lab.

The server's worker processes keep their figures in files of the folder
``PROMETHEUS_MULTIPROC_DIR``, which :mod:`proto_loc.monitoring.latencies` adds up. So a figure costs
a write to memory, and no request.
"""

import time
from http import HTTPStatus

from flask import Flask, Response, g, request
from prometheus_client import Histogram

PAGES = {
    "ChartDataRestApi.data": "chart",
    "ChartDataRestApi.get_data": "chart",
    "SqlLabRestApi.execute_sql_query": "sql_lab",
}
"""Flask's endpoint of a query → the value of the label ``page``."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper limits in seconds; those of Cube's queries, too."""

SECONDS = Histogram(
    "loc_superset_query_seconds",
    "Seconds from the request of a query to its answer, by page and outcome.",
    ["page", "outcome"],
    buckets=BUCKETS,
)


def measure(app: Flask) -> None:
    """Install the measurement in the application."""

    @app.before_request
    def note_start() -> None:
        g.query_start = time.perf_counter()

    @app.after_request
    def note_end(answer: Response) -> Response:
        if (page := PAGES.get(request.endpoint)) and "query_start" in g:
            seconds = time.perf_counter() - g.query_start
            SECONDS.labels(page, outcome(answer.status_code)).observe(seconds)
        return answer


def outcome(status: int) -> str:
    """The value of the label ``outcome`` for an answer's status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "failed"
    return "refused" if status >= HTTPStatus.BAD_REQUEST else "answered"
