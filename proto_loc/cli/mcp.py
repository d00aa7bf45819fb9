"""``loc mcp``: serves the platform to clients of the Model Context Protocol."""

from typing import Annotated

import typer

from proto_loc.cli.metrics import Claims, parse_claims

app = typer.Typer()


@app.command(rich_help_panel="Metrics")
def mcp(
    http: Annotated[
        bool,
        typer.Option(
            "--http", help="Listen on 127.0.0.1 (port 8090) instead; the token is .run/secrets/mcp."
        ),
    ] = False,
    claims: Claims = "",
) -> None:
    """Serve metrics, tables, read-only SQL, freshness and lineage by Model Context Protocol.

    It uses stdin and stdout, and a client starts it by itself: docs/mcp.md shows how for Claude
    Desktop, VS Code and Cursor.
    """
    from proto_loc.cli._notebooks import run

    run("mcp", {"http": http, "claims": parse_claims(claims) if claims else None})
