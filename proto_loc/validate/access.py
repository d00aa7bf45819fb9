"""Step on access: which caller reaches which service, with which secret, host and origin.

A service is called as its clients call it. It must answer its own secret, and refuse all others:
those of the other services, none at all, and its own with a foreign ``Host`` or ``Origin``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import jwt

from proto_loc import credentials
from proto_loc.compose.client import TOKEN
from proto_loc.doctor.finding import Finding, ok
from proto_loc.settings import settings
from proto_loc.superset.client import Person
from proto_loc.validate.proof import Proof, fail, skip

STRANGER = "evil.example"
ANYONE, FOREIGN_HOST, FOREIGN_ORIGIN = (
    "nobody's",
    "its own, foreign Host",
    "its own, foreign Origin",
)
REFUSED = (400, 401, 403, 404, 421, 422)
"""Answers that let nobody in: Jupyter hides a page behind 404 from a foreign origin, and Superset
answers 422 to a token that is none of its own."""


@dataclass(frozen=True)
class Door:
    """How a service is called with a secret."""

    name: str
    service: str
    """The name of the process; empty for the supervisor."""
    secret: str
    """The name of its secret."""
    path: str
    headers: Callable[[str], dict[str, str]]
    """Makes the headers that carry a secret."""
    socket: str = ""
    """The socket in the run folder, where it listens on none of the ports."""


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _cube(secret: str) -> dict[str, str]:
    return {"authorization": jwt.encode({"all_rows": True}, secret, algorithm="HS256")}


DOORS = (
    Door("home", "home", "home", "/", _bearer),
    Door("metrics", "home", "metrics", "/metrics", _bearer),
    Door("dagster", "dagster-web", "dagster", "/server_info", _bearer),
    Door("cube", "cube", "cube", "/cubejs-api/v1/meta", _cube),
    Door(
        "jupyter",
        "jupyter",
        "jupyter",
        "/api/contents?content=0",
        lambda secret: {"authorization": f"token {secret}"},
    ),
    Door("superset", "superset", "superset-admin", "/api/v1/me/", _bearer),
    Door(
        "supervisor",
        "",
        TOKEN,
        "/processes",
        lambda secret: {"x-pc-token-key": secret},
        "process-compose.sock",
    ),
)


def matrix(proof: Proof) -> Iterator[Finding]:
    """Call every service with every secret, anonymously, and as a page of another site would."""
    doors = [door for door in DOORS if door.socket or door.service in proof.ready]
    if not doors:
        yield skip("No service is ready: nobody's access was tried")
        return
    owners = {door.secret: door.name for door in DOORS}
    wrong = 0
    for door in doors:
        proof.say(door.name)
        with _client(door) as client:
            for caller, status in _calls(client, door, owners):
                proof.access.setdefault(caller, {})[door.name] = str(status or "no answer")
                own = owners.get(door.secret) == caller
                if own and status != 200:
                    wrong += 1
                    yield fail(
                        f"{door.name} refuses its own secret: it answers {status}.",
                        f"Its secret is {credentials.path(door.secret)}.",
                        f"If that file was changed: ./loc restart {door.service}",
                    )
                elif not own and status not in REFUSED:
                    wrong += 1
                    yield fail(
                        f"{door.name} answers {status} to a caller with the secret: {caller}.",
                        "It must refuse everyone but the holder of its own secret, on this"
                        " machine's own address.",
                        f"./loc down; then report it, with the report of this run ({door.path}).",
                    )
    if not wrong:
        calls = sum(len(row) for row in proof.access.values())
        yield ok(f"{calls} calls: each service answers its own secret, and refuses all others")


def _calls(
    client: httpx.Client, door: Door, owners: dict[str, str]
) -> Iterator[tuple[str, int | None]]:
    """Yield each caller with the status of the answer; None without an answer."""
    own: dict[str, str] = {}
    for secret, owner in owners.items():
        if not credentials.path(secret).exists():
            continue
        if door.name == "superset" and secret == door.secret:  # a person logs in by a form
            with Person() as person:
                cookies = "; ".join(f"{name}={text}" for name, text in person.http.cookies.items())
                own = {"cookie": cookies}
                yield owner, _status(client, door, own)
            continue
        headers = door.headers(credentials.secret(secret))
        own = headers if secret == door.secret else own
        yield owner, _status(client, door, headers)
    yield ANYONE, _status(client, door, {})
    if not door.socket:  # a page of a browser does not reach a Unix socket
        yield FOREIGN_HOST, _status(client, door, own | {"host": STRANGER})
        yield FOREIGN_ORIGIN, _status(client, door, own | {"origin": f"http://{STRANGER}"})


def _client(door: Door) -> httpx.Client:
    from proto_loc.services import SERVICES

    options = {"trust_env": False, "timeout": 30}
    if door.socket:
        transport = httpx.HTTPTransport(uds=str(settings().socket(door.socket)))
        return httpx.Client(transport=transport, base_url="http://stack", **options)
    port = settings().port(SERVICES[door.service].port)
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", **options)


def _status(client: httpx.Client, door: Door, headers: dict[str, str]) -> int | None:
    client.cookies.clear()  # a service may log in who has sent its secret once
    try:
        return client.get(door.path, headers=headers).status_code
    except httpx.HTTPError:
        return None
