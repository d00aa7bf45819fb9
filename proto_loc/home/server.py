"""Runs the server of the home page, behind :mod:`proto_loc.web.gate`.

It imports neither DuckDB nor Dagster: what it shows comes from ``loc status --json``, and what it
changes is done by ``loc db rollback``, each as a process of its own.
"""

import hmac
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from proto_loc import fork_file, logs, services
from proto_loc.credentials import secret
from proto_loc.errors import LocError, exit_on_error
from proto_loc.home import commands, page
from proto_loc.notify import outbox
from proto_loc.settings import settings
from proto_loc.web.gate import Guard
from proto_loc.web.serving import OPTIONS

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",  # with no-referrer, the form would have the origin "null"
    "x-content-type-options": "nosniff",
}
"""Headers of the pages: nothing is loaded from elsewhere, and no script runs."""
DOCS_HEADERS = HEADERS | {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self' data: blob: 'unsafe-inline'",
}
"""Headers of the docs, whose search is a script."""


class Docs(StaticFiles):
    """The docs site, which ``loc docs build`` makes."""

    def file_response(self, *arguments, **options) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(DOCS_HEADERS)
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _docs_are_built():
            await super().__call__(scope, receive, send)
            return
        failure = commands.Failure("The docs are not built yet.", "", "./loc docs build")
        await _message(404, "No docs yet", failure=failure)(scope, receive, send)


METRICS = "/metrics"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def metrics(_: Request) -> Response:
    """The state of the platform for Prometheus."""
    text, failure = commands.metrics()
    if failure:
        text = " ".join(filter(None, (failure.what, failure.why, failure.fix)))
        return Response(f"{text}\n", 503, media_type="text/plain")
    return Response(text, media_type=OPENMETRICS, headers={"cache-control": "no-store"})


class Doors:
    """Two doors with a token each: programs that read metrics must not be able to roll back."""

    def __init__(self, pages: ASGIApp, metrics: ASGIApp) -> None:
        self.pages, self.metrics = pages, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.metrics if scope.get("path") == METRICS else self.pages
        await door(scope, receive, send)


def watch() -> None:
    """Find incidents and deliver notices, again and again, if fork.toml has a channel.

    After the last channel is gone, one more look forgets what was open. The loop is here and not in
    a schedule of Dagster, since it also has to tell that Dagster is down.
    """
    last = None
    while True:
        time.sleep(settings().notify_pause)
        try:
            is_needed = fork_file.read().channels or outbox.path().exists()
            failure = commands.notify() if is_needed else None
        except LocError as error:  # a mistake in fork.toml
            failure = commands.Failure(error.what, error.why, error.fix)
        except Exception as error:  # whatever it is, the next look may work
            why = f"{type(error).__name__}: {error}."
            failure = commands.Failure("The look for incidents failed.", why, "./loc doctor")
        if failure and failure != last:
            print(f"Notices: {failure.what} {failure.why} {failure.fix}".rstrip(), flush=True)
        last = failure


def _docs() -> Path:
    """Where ``loc docs build`` writes the site."""
    return settings().run / "docs" / "site"


def _docs_are_built() -> bool:
    return (_docs() / "index.html").exists()


def _html(template: str, status: int = 200, **values) -> HTMLResponse:
    return HTMLResponse(page.render(template, **values), status, HEADERS)


def home(request: Request) -> Response:
    """The page itself."""
    state, failure = commands.status()
    return _html(
        "home",
        state=state,
        failure=failure,
        served=request.query_params.get("served", ""),
        docs=_docs_are_built(),
        titles=[title for title in services.urls() if title != "Home"],
    )


def style(_: Request) -> Response:
    """The style sheet of all pages."""
    return Response(page.STYLE, media_type="text/css", headers={"cache-control": "no-cache"})


def open_page(request: Request) -> Response:
    """Redirect to a page of a service with its token; a page with a login shows its password.

    So the tokens of other services are in no page. ``node`` opens the lineage of a model in the
    dbt docs, and ``run`` a run in Dagster.
    """
    title, parameters = request.path_params["title"], request.query_params
    url = services.urls().get(title)
    if url is None:
        return _message(404, "No such page", f"No service has a page {title}.")
    service = next(one for one in services.SERVICES.values() if title in one.links)
    if service.login:
        account, key = service.login
        return _html("login", title=title, url=url, account=account, password=secret(key))
    parts = urlsplit(url)
    if run := parameters.get("run"):
        parts = parts._replace(path=f"/runs/{quote(run, safe='')}")
    if node := parameters.get("node"):
        include = quote("+" + "".join(node.split(".")[2:3]), safe="")
        parts = parts._replace(fragment=f"!/model/{quote(node)}?g_v=1&g_i={include}")
    return RedirectResponse(urlunsplit(parts), 303, HEADERS)


def ask(request: Request) -> Response:
    """Show what serving another version changes, and ask."""
    state, failure = commands.status()
    name, number = request.path_params["database"], request.path_params["version"]
    published = page.database(state, name)
    current = page.version(published, published and published["current"])
    target = page.version(published, number)
    if failure or current is None:
        return _message(409, "Nothing was changed", f"{name} has no version now.", failure)
    if target is None:
        return _message(404, "No such version", f"{name} has no version {number} any more.")
    token = _form_token(name, number, current["id"])
    return _html("rollback", name=name, current=current, target=target, token=token)


async def roll_back(request: Request) -> Response:
    """Serve the version that a form of :func:`ask` names."""
    name, number = request.path_params["database"], request.path_params["version"]
    form = parse_qs((await request.body()).decode("ascii", "replace"))
    token, current = (form.get(key, [""])[0] for key in ("token", "current"))
    made_here = current.isascii() and current.isdecimal()
    expected = _form_token(name, number, int(current)) if made_here else ""
    if not made_here or not hmac.compare_digest(expected.encode(), token.encode()):
        return _message(403, "Nothing was changed", "This page did not make the form.")
    return await run_in_threadpool(_roll_back, name, number, int(current))


def _roll_back(name: str, number: int, current: int) -> Response:
    state, failure = commands.status(fresh=True)
    published = page.database(state, name)
    if published and published["current"] != current:
        why = f"{name} serves version {published['current']} by now, and not {current}."
        return _message(409, "Nothing was changed", why)
    failure = failure or commands.rollback(name, number)
    if failure:
        return _message(409, "Nothing was changed", failure=failure)
    return RedirectResponse(f"/?served={name}-{number}", 303, HEADERS)


def _form_token(database: str, version: int, current: int) -> str:
    """Proof that this server made the form, while ``current`` was served."""
    text = f"rollback {database} {version} {current}"
    return hmac.new(secret("home").encode(), text.encode(), "sha256").hexdigest()


def _message(
    status: int, title: str, why: str = "", failure: commands.Failure | None = None
) -> Response:
    return _html("message", status, title=title, failure=failure or commands.Failure(why))


def _no_page(_: Request, __: Exception) -> Response:
    return _message(404, "No such page", "This address leads nowhere.")


def _failed(_: Request, error: Exception) -> Response:
    failure = commands.Failure(error.what, error.why, error.fix)
    return _message(500, "That did not work", failure=failure)


def app() -> Starlette:
    """The app without its guard."""
    return Starlette(
        routes=[
            Route("/", home),
            Route("/style.css", style),
            Route("/open/{title}", open_page),
            Route("/versions/{database:str}/{version:int}", ask),
            Route("/versions/{database:str}/{version:int}", roll_back, methods=["POST"]),
            Mount("/docs", Docs(directory=_docs(), html=True, check_dir=False)),
        ],
        exception_handlers={404: _no_page, LocError: _failed},
    )


def main() -> None:
    """Serve the page until a signal ends the process."""
    logs.install("")
    port, owner = settings().port("home"), str(settings().data)
    pages = Guard(app(), token=secret("home"), port=port, owner=owner)
    shown = Starlette(routes=[Route(METRICS, metrics)])
    way_in = "Send the token: Authorization: Bearer, and what is in .run/secrets/metrics."
    doors = Doors(
        pages,
        Guard(shown, token=secret("metrics"), port=port, owner=owner, way_in=way_in, links=False),
    )
    threading.Thread(target=watch, daemon=True).start()
    uvicorn.run(doors, host="127.0.0.1", port=port, **OPTIONS)


if __name__ == "__main__":
    with exit_on_error():
        main()
