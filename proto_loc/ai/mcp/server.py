"""The Model Context Protocol server of ``loc mcp``, over stdio or HTTP on loopback."""

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from proto_loc import credentials
from proto_loc.ai import prompts
from proto_loc.ai.mcp import tools
from proto_loc.cube.client import Question
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.settings import settings

INSTRUCTIONS = """\
The published data of this analytics platform, read-only.{subjects} For a figure that a defined
metric covers (list_metrics), use query_metrics: it is the agreed figure, the same in every tool.
For anything else write DuckDB SQL on the marts (list_tables, list_columns), with run_sql. With an
answer, say the version, the time and the origin of the data (show_freshness)."""

READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

Limit = Annotated[int, Field(ge=1, le=tools.MOST_ROWS, description="At most so many rows.")]
Name = Annotated[str, Field(description="The table's name, with or without its schema.")]

_tools: list[Callable] = []


def tool(function: Callable) -> Callable:
    """Register a tool; a :class:`LocError` becomes an error of the tool."""

    @functools.wraps(function)
    def called(*arguments, **named):
        try:
            return function(*arguments, **named)
        except LocError as error:
            raise ToolError(str(error)) from None

    _tools.append(called)
    return called


def build(models: tuple[SemanticModel, ...]) -> MCPServer:
    """Make the server, with instructions and examples from these definitions."""
    labels = ", ".join(model.label for model in models if model.metrics)
    subjects = f" It has metrics on: {labels}." if labels else ""
    server = MCPServer(
        "proto_loc", instructions=INSTRUCTIONS.format(subjects=subjects), log_level="WARNING"
    )
    example = prompts.metric_query(models)
    for function in _tools:
        description = inspect.getdoc(function) or ""
        if function.__name__ == "query_metrics" and example:
            description += f" For example: {json.dumps(example)}"
        server.tool(description=description, annotations=READS)(function)
    return server


@tool
def list_metrics() -> tools.Metrics:
    """List the defined metrics, with the dimensions that each can be cut and filtered by. Look
    here first.
    """
    return tools.list_metrics()


@tool
def query_metrics(
    metrics: Annotated[
        list[str],
        Field(min_length=1, description="Names from list_metrics, all of one semantic model."),
    ],
    dimensions: Annotated[
        list[str],
        Field(description="Cut by these; a time dimension with its grain, as in NAME:month."),
    ] = (),
    since: Annotated[
        str, Field(description="First day, YYYY-MM-DD.", pattern=r"^(\d{4}-\d\d-\d\d)?$")
    ] = "",
    until: Annotated[
        str, Field(description="Last day, included.", pattern=r"^(\d{4}-\d\d-\d\d)?$")
    ] = "",
    where: Annotated[
        list[str],
        Field(
            description=(
                "Conditions dimension=value or dimension!=value; alike ones are alternatives."
            )
        ),
    ] = (),
    order: Annotated[
        str, Field(description="A metric or dimension of the answer; - in front: largest first.")
    ] = "",
    limit: Limit = 100,
) -> tools.Rows:
    """Get the agreed figures of defined metrics, as every other tool of the platform shows them."""
    return tools.query_metrics(
        Question(tuple(metrics), tuple(dimensions), since, until, tuple(where), order, limit)
    )


@tool
def list_tables() -> tools.Tables:
    """List the published tables with what a row of each is, and how many rows there are."""
    return tools.list_tables()


@tool
def list_columns(table: Name) -> tools.Columns:
    """List the columns of a table, with types, descriptions and, where there are few, all
    values.
    """
    return tools.list_columns(table)


@tool
def run_sql(
    sql: Annotated[str, Field(description="One SELECT in DuckDB's SQL; tables with their schema.")],
    limit: Limit = 100,
) -> tools.Rows:
    """Run one SQL statement that only reads, for 30 seconds at most. Aggregate in SQL rather
    than fetch rows.
    """
    return tools.run_sql(sql, limit)


@tool
def show_freshness() -> tools.Freshness:
    """Show when the data was published, by whom, from which loads of which origin, and which
    tests passed.
    """
    return tools.show_freshness()


@tool
def show_lineage(table: Name) -> tools.Lineage:
    """Show what a table is built from, what is built from it, which file defines it, and its
    metrics.
    """
    return tools.show_lineage(table)


def serve(http: bool, claims: dict | None = None) -> None:
    """Serve until the input ends (stdio) or the process is stopped (HTTP).

    Raises:
        LocError: the port is in use, or the token cannot be read or made.
    """
    if claims is not None:
        tools.VIEWER["claims"] = claims
    logging.getLogger("mcp").setLevel(logging.WARNING)
    server = build(prompts.published_models())
    if http:
        _serve_http(server)
    else:
        server.run("stdio")


def _serve_http(server: MCPServer) -> None:
    import socket

    import uvicorn

    from proto_loc.web.gate import Guard
    from proto_loc.web.serving import OPTIONS

    port, token = settings().port("mcp"), credentials.secret("mcp")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        raise LocError(
            f"MCP cannot listen on port {port}.",
            f"{error.strerror}.",
            "Stop the process that listens there, or set LOC_PORT_PREFIX.",
        ) from error
    way_in = f"Send the token of {credentials.path('mcp')} as the header `Authorization: Bearer`."
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    app = Guard(app, token=token, port=port, way_in=way_in)
    print(
        f"http://127.0.0.1:{port}/mcp with the token of {credentials.path('mcp')}",
        file=sys.stderr,
        flush=True,
    )
    uvicorn.Server(uvicorn.Config(app, **OPTIONS)).run(sockets=[listening])
