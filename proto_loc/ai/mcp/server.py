"""The Model Context Protocol server of ``loc mcp``, over stdio or HTTP on loopback."""

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from proto_loc import credentials
from proto_loc.ai import prompts
from proto_loc.ai.mcp import tools
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


def build(models: tuple[SemanticModel, ...]) -> MCPServer:
    """Make the server, with instructions and examples from these definitions."""
    labels = ", ".join(model.label for model in models if model.metrics)
    subjects = f" It has metrics on: {labels}." if labels else ""
    server = MCPServer(
        "proto_loc", instructions=INSTRUCTIONS.format(subjects=subjects), log_level="WARNING"
    )
    example = prompts.metric_query(models)
    for function in tools.TOOLS:
        description = inspect.getdoc(function) or ""
        if function is tools.query_metrics and example:
            description += f" For example: {json.dumps(example)}"
        server.tool(description=description, annotations=READS)(_with_errors(function))
    return server


def _with_errors(function: Callable) -> Callable:
    """Turn a :class:`LocError` of the function into an error of the tool."""

    @functools.wraps(function)
    def called(*arguments, **named):
        try:
            return function(*arguments, **named)
        except LocError as error:
            raise ToolError(str(error)) from None

    return called


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

    import uvicorn

    from proto_loc.web.gate import Guard
    from proto_loc.web.serving import OPTIONS, listen

    port, token = settings().port("mcp"), credentials.secret("mcp")
    what = f"MCP cannot listen on port {port}."
    fix = "Stop the process that listens there, or set LOC_PORT_PREFIX."
    listening = listen(port, what, fix)
    way_in = f"Send the token of {credentials.path('mcp')} as the header `Authorization: Bearer`."
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    app = Guard(app, token=token, port=port, way_in=way_in)
    print(
        f"http://127.0.0.1:{port}/mcp with the token of {credentials.path('mcp')}",
        file=sys.stderr,
        flush=True,
    )
    uvicorn.Server(uvicorn.Config(app, **OPTIONS)).run(sockets=[listening])
