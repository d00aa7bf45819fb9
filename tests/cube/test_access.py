"""Cube answers only pages and programs of this machine that have a token of this clone."""

import socket
import subprocess
import time

import httpx
import psutil
import pytest
from foreign import FOREIGN
from servers import token

from proto_loc.setup.environments import golden

pytestmark = pytest.mark.xdist_group("cube")
TRIPS = {"measures": ["trips.trips"]}
PATHS = ["v1/load", "v1/meta", "v1/sql", "v1/dry-run", "graphql", "v1/subscribe"]


def raw(server, given: str | None, path: str = "v1/load", **headers: str) -> httpx.Response:
    headers |= {"authorization": given} if given else {}
    return server.http.get(
        f"/cubejs-api/{path}", params={"query": '{"measures":["trips.trips"]}'}, headers=headers
    )


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_nothing_is_answered(server, path):
    answer = raw(server, None, path)
    assert answer.status_code == 403 and "token" in answer.json()["error"]


def test_a_token_is_taken_bare_and_as_bearer(server):
    assert raw(server, token()).status_code == raw(server, f"Bearer {token()}").status_code == 200


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lambda: token("another-secret"), "invalid signature"),
        (lambda: token(exp=int(time.time()) - 1), "jwt expired"),
        (lambda: token(nbf=int(time.time()) + 60), "jwt not active"),
        (lambda: token(header={"alg": "none"}), "jwt signature is required"),
        (lambda: token(header={"alg": "HS512"}), "invalid algorithm"),
        (lambda: token(header={"alg": "HS384"}), "invalid algorithm"),
        (lambda: "Bearer", ""),
        (lambda: "x.y.z", "invalid token"),
    ],
    ids=["wrong secret", "expired", "not yet", "none", "HS512", "HS384", "empty", "no token"],
)
def test_a_token_that_is_not_right_is_refused(server, given, why):
    answer = raw(server, given())
    assert answer.status_code == 403 and why in answer.json()["error"]


def test_no_token_reaches_the_log(server):
    bad = token("another-secret")
    assert raw(server, bad).status_code == 403
    assert bad not in server.log() and bad.split(".")[2] not in server.log()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "[::1]:{port}", ""]
)
def test_a_foreign_host_is_refused_though_the_token_is_right(server, host):
    answer = raw(server, token(), host=host.format(port=server.port))
    assert answer.status_code == 400


def test_a_request_with_two_hosts_is_refused(server):
    """A proxy or a cache may use either of the two hosts, so both must be valid."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        hosts = "Host: 127.0.0.1\r\nHost: evil.example\r\n"
        sock.sendall(
            f"GET /cubejs-api/v1/meta HTTP/1.1\r\n{hosts}Authorization: {token()}\r\n\r\n".encode()
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")


def test_localhost_is_this_machine_too(server):
    assert raw(server, token(), host=f"localhost:{server.port}").status_code == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_site_is_refused_and_may_read_nothing(server, headers):
    answer = raw(server, token(), **headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_origin_is_allowed_by_cors_not_even_for_a_preflight(server):
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = server.http.options("/cubejs-api/v1/load", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_it_listens_on_ipv4_loopback_and_nothing_else(server):
    listening = {
        one.laddr
        for one in psutil.Process(server.process.pid).net_connections()
        if one.status == "LISTEN"
    }
    assert listening == {("127.0.0.1", server.port)}


@pytest.mark.parametrize(
    "path", ["/", "/playground/context", "/cubejs-system/v1/context", "/playground/files"]
)
def test_there_is_no_playground(server, path):
    assert server.http.get(path).status_code in (403, 404)


def test_the_secret_is_in_no_command_line_and_no_environment(server):
    from proto_loc import credentials

    process = psutil.Process(server.process.pid)
    assert credentials.secret("cube") not in " ".join(process.cmdline()) + str(process.environ())


def test_settings_of_cube_in_a_persons_environment_change_nothing(small, monkeypatch):
    from proto_loc.cube.process import environment

    monkeypatch.setenv("CUBEJS_DEV_MODE", "true")
    monkeypatch.setenv("CUBEJS_API_SECRET", "known")
    monkeypatch.setenv("NODE_OPTIONS", "--inspect=0.0.0.0")
    assert not {"CUBEJS_DEV_MODE", "CUBEJS_API_SECRET", "NODE_OPTIONS"} & environment().keys()


def test_probes_need_no_token_and_say_which_native_part_is_used(server):
    live, ready = (server.http.get(path) for path in ("/livez", "/readyz"))
    assert (live.status_code, ready.status_code) == (200, 200)
    assert live.json()["native"] == ready.json()["native"] in ("addon", "stand-in")
    assert f'"native":"{ready.json()["native"]}"' in server.log()
    pinned = golden()["npm"]["@cubejs-backend/server-core"]
    assert live.json()["cube"] == ready.json()["cube"] == pinned


def test_one_without_its_secret_does_not_start(small):
    from proto_loc.cube.process import environment
    from proto_loc.setup.node import CUBE, program

    env = environment() | {"LOC_SECRET_FILE": "/nowhere"}
    done = subprocess.run(
        [program(), "server.js"], cwd=CUBE, env=env, capture_output=True, text=True
    )
    assert done.returncode == 1 and "/nowhere" in done.stderr and "    at " not in done.stderr


def test_the_developers_playground_is_there_only_when_asked_for_and_never_without_a_warning(small):
    from servers import Server

    with Server(small, LOC_CUBE_DEV=1) as made:
        assert made.http.get("/playground/context").status_code == 200
        assert '"warning":"LOC_CUBE_DEV=1' in made.log()
        assert raw(made, None).status_code == 403, "a token is required all the same"
        assert (
            made.http.get(
                "/playground/context", headers={"origin": "http://evil.example"}
            ).status_code
            == 403
        )
