"""Serves process-compose's HTTP API on a Unix socket while the runner runs a project."""

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proto_loc.errors import LocError
from proto_loc.standins.process_compose import model
from proto_loc.standins.process_compose.runner import Runner


def api(runner: Runner, token: str) -> Starlette:
    """The routes of process-compose's API that ``loc`` uses; each requires the token."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def processes(_: Request) -> Response:
        return JSONResponse({"data": [process.state() for process in runner.processes.values()]})

    async def stop(_: Request) -> Response:
        await asyncio.shield(runner.stop())
        return JSONResponse({"status": "stopped"})

    async def start(request: Request) -> Response:
        name = request.path_params["name"]
        if name in runner.processes and runner.start(name):
            return JSONResponse({"name": name})
        return JSONResponse({"error": f"process {name} cannot be started"}, 400)

    async def restart(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in runner.processes:
            return JSONResponse({"error": f"no such process: {name}"}, 400)
        await asyncio.shield(runner.restart(name))
        return JSONResponse({"name": name})

    async def authorized(request: Request, proceed) -> Response:
        if secrets.compare_digest(request.headers.get("X-PC-Token-Key", ""), token):
            return await proceed(request)
        return Response(status_code=401)

    routes = [
        Route("/live", live),
        Route("/processes", processes),
        Route("/process/start/{name}", start, methods=["POST"]),
        Route("/process/restart/{name}", restart, methods=["POST"]),
        Route("/project/stop", stop, methods=["POST"]),
    ]
    return Starlette(
        routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=authorized)]
    )


def bind(path: Path) -> socket.socket:
    """Bind a Unix socket that only this user can connect to; replace one that nobody serves.

    Raises:
        LocError: the socket is in use.
    """
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as other:
        other.connect(str(path))
        raise LocError(f"{path} is in use.", "Another supervisor serves it.", "./loc down")
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    return listener


async def main(file: Path, path: Path, names: tuple[str, ...]) -> int:
    runner = Runner(model.load(file), names)
    token = Path(os.environ["PC_API_TOKEN_PATH"]).read_text().strip()
    config = uvicorn.Config(
        api(runner, token), log_level="warning", access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # the runner handles signals
    serving = asyncio.create_task(server.serve(sockets=[bind(path)]))
    try:
        return await runner.run()
    finally:
        server.should_exit = True
        await serving
        path.unlink(missing_ok=True)
