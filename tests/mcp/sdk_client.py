"""Client of ``loc mcp`` with the MCP SDK; the environment ``notebooks`` runs it.

It reads calls from stdin and writes results to stdout, as JSON. ``python sdk_client.py stdio``
starts the server itself; ``... URL TOKEN`` connects to a running one.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

LOC = Path(__file__).resolve().parents[2] / "loc"


async def main() -> None:
    calls = json.load(sys.stdin)
    if sys.argv[1] == "stdio":
        async with Client(
            StdioServerParameters(
                command=str(LOC), args=["mcp", *sys.argv[2:]], env=dict(os.environ)
            )
        ) as client:
            await talk(client, calls)
        return
    headers = {"authorization": f"Bearer {sys.argv[2]}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(sys.argv[1], http_client=http)) as client,
    ):
        await talk(client, calls)


async def talk(client: Client, calls: list) -> None:
    found: dict = {
        "instructions": client.instructions,
        "tools": [tool.model_dump(mode="json") for tool in (await client.list_tools()).tools],
        "results": [],
    }
    for name, arguments in calls:
        result = await client.call_tool(name, arguments)
        found["results"].append(
            {
                "error": result.is_error,
                "text": result.content[0].text,
                "data": result.structured_content,
            }
        )
    print(json.dumps(found))


asyncio.run(main())
