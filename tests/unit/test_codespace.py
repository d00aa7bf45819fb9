"""Tests of links and pages behind the port forwarding of a codespace."""

import anyio
import httpx
import pytest
from starlette.responses import PlainTextResponse

from proto_loc import services
from proto_loc.web.gate import Guard

OWN = "https://fluffy-goggles-x1-23000.app.github.dev"
OTHERS = ("https://other-23000.app.github.dev", "https://fluffy-goggles-x1-23001.app.github.dev")
LINK = ("GET", "/?token=right", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})


@pytest.fixture
def codespace(data, monkeypatch):
    monkeypatch.setenv("CODESPACE_NAME", "fluffy-goggles-x1")
    monkeypatch.setenv("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.github.dev")
    monkeypatch.setenv("LOC_PORT_PREFIX", "2")


def answers(base: str, *requests: tuple[str, str, dict[str, str]]) -> list[httpx.Response]:
    """Send requests to that address, one after the other, as a browser does; return the answers."""

    async def ask() -> list[httpx.Response]:
        app = httpx.ASGITransport(Guard(PlainTextResponse("in"), token="right", port=23000))
        async with httpx.AsyncClient(transport=app, base_url=base, follow_redirects=True) as client:
            return [
                await client.request(method, path, headers=headers)
                for method, path, headers in requests
            ]

    return anyio.run(ask)


def test_links_lead_to_the_forwarded_port(codespace):
    found = services.urls()
    assert all(found[title].startswith(f"{OWN}/") for title in ("Dagster", "dbt docs"))
    assert found["Superset"] == OWN.replace("23000", "28088") + "/"
    assert found["JupyterLab"].startswith(OWN.replace("23000", "28888") + "/lab/")


def test_the_link_logs_in_at_the_forwarded_address_and_its_pages_may_call(codespace):
    first, call = answers(
        OWN, LINK, ("POST", "/", {"origin": OWN, "sec-fetch-site": "same-origin"})
    )
    assert (first.status_code, first.text, call.status_code) == (200, "in", 200)
    said = first.history[0].headers["set-cookie"].lower()
    assert "secure" in said and "samesite=lax" in said


@pytest.mark.parametrize("other", OTHERS)
def test_another_codespace_or_port_is_foreign(codespace, other):
    assert answers(other, LINK)[0].status_code == 400
    assert answers(OWN, LINK, ("POST", "/", {"origin": other}))[1].status_code == 403


def test_elsewhere_the_forwarded_address_is_foreign(data):
    assert answers(OWN, LINK)[0].status_code == 400
    said = answers("http://127.0.0.1:23000", LINK)[0].history[0].headers["set-cookie"].lower()
    assert "samesite=strict" in said and "secure" not in said
