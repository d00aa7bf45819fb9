"""``loc docs``: builds the guides as a site, and serves it."""

from typing import Annotated

import typer

NAME, PANEL = "docs", "Set-up"
app = typer.Typer(no_args_is_help=True, help="Build the guides as a site, and serve it.")


@app.command()
def build(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Keep nothing; fail on dead links and on requests to other hosts."
        ),
    ] = False,
) -> None:
    """Build docs/ as a site in .run/docs/site, with search; no page needs the network.

    The home page serves it under /docs. Sphinx, MyST and furo make it: the environment `docs`,
    which the first build installs.
    """
    from proto_loc.docs import website

    if check:
        print(f"{website.check()} pages, without a dead link")
    else:
        print(website.build() / "index.html")


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)
    ] = 0,
) -> None:
    """Build the site and serve it on 127.0.0.1 until you stop it."""

    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    from proto_loc.docs import website
    from proto_loc.web.serving import OPTIONS, listen

    pages = Mount("/", StaticFiles(directory=website.build(), html=True))
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    what = f"Port {port} of 127.0.0.1 cannot be used."
    with listen(port, what, "Choose another --port, or leave it out for a free one.") as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/  (Ctrl-C ends it)", flush=True)
        app = Starlette(routes=[pages], middleware=[hosts])
        uvicorn.Server(uvicorn.Config(app, **OPTIONS)).run(sockets=[listener])
