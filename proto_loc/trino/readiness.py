"""Tells whether Trino and Nessie are up, and waits for them."""

import http.client
import json
import ssl
import time
from urllib.parse import urlsplit

from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.trino import identities, places

POLL = 0.5
PARTS = ("nessie", "trino")
"""What a statement needs, in the order of the start; the worker may come later."""


def is_ready(name: str, timeout: float = 5) -> bool:
    """Whether ``nessie``, ``trino`` or ``trino-worker`` answers and has finished its start."""
    path = "/v1/info" if name in places.NODES else f"{urlsplit(places.nessie_url()).path}/config"
    port = settings().port(name)
    try:
        if name in places.NODES:
            context = ssl.create_default_context(cafile=str(places.certificate()))
            connection = http.client.HTTPSConnection(
                places.HOST, port, timeout=timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(places.HOST, port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        return answer.status == 200 and not content.get("starting", False)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def wait_ready(timeout: float = 180, identity: str = identities.WRITER) -> None:
    """Wait until Nessie answers, and Trino runs a statement of this identity.

    Raises:
        LocError: one of them is not up in time, or Trino refuses the identity.
    """
    end = time.monotonic() + timeout
    while missing := [name for name in PARTS if not is_ready(name)]:
        if time.monotonic() >= end:
            raise _is_down(missing[0])
        time.sleep(POLL)
    from proto_loc.trino import client

    connection = client.connect(identity)
    import trino  # after connect(), which makes it importable

    while True:
        try:
            connection.cursor().execute("select 1").fetchall()
            return
        except (trino.exceptions.Error, trino.exceptions.HttpError) as error:
            if "401" in str(error):
                raise LocError(
                    f"Trino refuses the identity {identity}.",
                    "Its secret was changed while Trino ran, or LOC_RUN is another one.",
                    "./loc restart trino",
                ) from error
            if time.monotonic() >= end:
                raise LocError(
                    "Trino is up, and runs no statement.", f"{error}.", f"See {places.log('trino')}"
                ) from error
        except OSError as error:
            if time.monotonic() >= end:
                raise _is_down("trino") from error
        time.sleep(POLL)


def _is_down(name: str) -> LocError:
    return LocError(
        f"{name} is not up.",
        f"It does not answer on port {settings().port(name)} of 127.0.0.1.",
        f"Start it with LOC_ENGINE=trino ./loc up -d; if it ended, its log is {places.log(name)}",
    )
