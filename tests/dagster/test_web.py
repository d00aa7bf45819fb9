"""The gate in front of Dagster's web server, tested over real HTTP."""

import asyncio
import json

import httpx
import pytest
import websockets.asyncio.client
from foreign import FOREIGN
from processes import Stack
from websockets.exceptions import InvalidStatus

from proto_loc.web.origins import MAX_BODY

pytestmark = pytest.mark.xdist_group("dagster")

QUERY = {"query": "{ version }"}


def get(stack: Stack, path: str = "/", **headers: str) -> httpx.Response:
    return httpx.get(stack.url + path, headers=headers, trust_env=False)


def post(stack: Stack, **headers: str) -> httpx.Response:
    return httpx.post(f"{stack.url}/graphql", json=QUERY, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    "path", ["/", "/graphql", "/dbt-docs/", "/server_info", "/logs/x", "/whatever"]
)
def test_nothing_is_served_without_the_token(stack, path):
    answer = get(stack, path)
    assert answer.status_code == 401
    assert "loc urls" in answer.text


def test_a_request_that_is_too_large_is_refused(stack):
    body = {"content": bytes(MAX_BODY + 1), "headers": {"authorization": f"Bearer {stack.token}"}}
    answer = httpx.post(f"{stack.url}/graphql", trust_env=False, **body)
    assert answer.status_code == 413 and "too large" in answer.text
    with pytest.raises(
        httpx.HTTPError
    ):  # httptools, a dependency of Dagster, does not limit headers
        httpx.get(stack.url, headers={"x": "y" * (1 << 20)}, trust_env=False).raise_for_status()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Bearer"},
        {"authorization": "Basic Og=="},
        {"cookie": "loc_3000=nonsense"},
        {"cookie": "loc=; token="},
    ],
)
def test_graphql_without_the_right_token_is_401(stack, headers):
    assert post(stack, **headers).status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1]:3000",
        "",
    ],
)
def test_a_foreign_host_is_400_whatever_else_it_brings(stack, host):
    assert post(stack, host=host, authorization=f"Bearer {stack.token}").status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:1", "LOCALHOST:3000"])
def test_this_machines_names_are_let_in_on_any_port(stack, host):
    """A program such as an editor may forward the port to another one."""
    assert post(stack, host=host, authorization=f"Bearer {stack.token}").status_code == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_origin_is_403_even_with_the_token(stack, headers):
    assert post(stack, authorization=f"Bearer {stack.token}", **headers).status_code == 403


def test_the_own_page_and_programs_are_let_in(stack):
    assert post(stack, authorization=f"Bearer {stack.token}").json()["data"]["version"]
    own = {"origin": stack.url, "sec-fetch-site": "same-origin"}
    assert post(stack, authorization=f"Bearer {stack.token}", **own).status_code == 200


def test_the_link_sets_a_cookie_of_this_port_and_leads_on_without_the_token(stack):
    answer = get(stack, f"/?token={stack.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"loc_{stack.prefix}3000={stack.token}")
    assert "httponly" in cookie.lower() and "samesite=strict" in cookie.lower()
    assert get(stack, "/", cookie=cookie.partition(";")[0]).status_code == 200


def test_the_link_keeps_page_and_query_and_leads_to_no_other_host(stack):
    assert (
        get(stack, f"/assets?token={stack.token}&view=list").headers["location"]
        == "/assets?view=list"
    )
    assert (
        get(stack, f"//evil.example/?token={stack.token}").headers["location"] == "/evil.example/"
    )


@pytest.mark.parametrize("path", ["/?token=nonsense", "/?token=", "/?token=%C3%A9"])
def test_a_wrong_link_is_401_and_sets_nothing(stack, path):
    answer = get(stack, path)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_the_probe_needs_no_token_and_tells_nothing(stack):
    assert get(stack, "/healthz").text == "ok\n"
    assert get(stack, "/healthz", host="evil.example").status_code == 400


def subscribe(stack: Stack, **headers: str) -> dict:
    """Return the first answer to a subscription over a WebSocket."""

    async def talk() -> dict:
        async with websockets.asyncio.client.connect(
            f"{stack.url.replace('http', 'ws')}/graphql",
            additional_headers=headers,
            subprotocols=["graphql-ws"],
        ) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {}}))
            return json.loads(await asyncio.wait_for(socket.recv(), 20))

    return asyncio.run(talk())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"authorization": "Bearer nonsense"}, 403),
    ],
)
def test_subscriptions_are_guarded_as_requests_are(stack, headers, status):
    with pytest.raises(InvalidStatus) as refused:
        subscribe(stack, **headers)
    assert refused.value.response.status_code == status


def test_subscriptions_are_refused_to_other_origins_and_work_for_the_own(stack):
    own = {"authorization": f"Bearer {stack.token}"}
    with pytest.raises(InvalidStatus):
        subscribe(stack, **own, origin="http://evil.example")
    assert subscribe(stack, **own, origin=stack.url)["type"] == "connection_ack"


def test_the_token_is_in_no_log(stack):
    get(stack, f"/?token={stack.token}")
    logs = [path.read_text() for path in stack.home.glob("*.log")]
    assert len(logs) == 3 and not any(stack.token in text for text in logs)


def test_only_loopback_listens(stack):
    import psutil

    for process in stack.processes.values():
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        listening = [
            c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"
        ]
        assert set(listening) <= {"127.0.0.1"}


def test_dbts_documentation_is_one_page_that_loads_nothing(filled):
    answer = get(filled, "/dbt-docs/", authorization=f"Bearer {filled.token}")
    assert answer.status_code == 200
    assert ".JSON INLINE DATA" not in answer.text
    assert (
        '"marts"' in answer.text
        and "DECIMAL(10,2)" in answer.text
        and "mart_taxi_trips" in answer.text
    )
    assert "default-src 'self'" in answer.headers["content-security-policy"]
