"""Who gets into JupyterLab, over real HTTP and WebSockets: who has the token, from this machine's own pages."""

import httpx
import psutil
import pytest
from lab import Kernel, Lab, read_proc
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.xdist_group("notebooks")

CALLS = (
    "/api/status", "/api/me", "/api/contents", "/api/contents/start_here.ipynb", "/api/kernels", "/api/kernelspecs",
    "/api/sessions", "/lab/api/settings", "/lab/api/workspaces", "/metrics",
)  # fmt: skip
PAGES = ("/", "/lab", "/lab/tree/start_here.ipynb", "/files/start_here.ipynb", "/nbconvert/html/start_here.ipynb")


def anonymous(lab: Lab, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, lab.url + path, headers=headers, trust_env=False)


@pytest.mark.parametrize("path", CALLS)
def test_an_anonymous_call_gets_403(lab, path):
    assert anonymous(lab, path).status_code == 403


@pytest.mark.parametrize("path", ["/api/kernels", "/api/sessions", "/api/contents"])
def test_an_anonymous_change_gets_403(lab, path):
    before = lab.call("GET", "/api/kernels").json()
    assert anonymous(lab, path, "POST").status_code == 403
    assert lab.call("GET", "/api/kernels").json() == before


@pytest.mark.parametrize("path", PAGES)
def test_an_anonymous_page_leads_to_the_log_in(lab, path):
    answer = anonymous(lab, path)
    while answer.status_code == 302 and "/login" not in answer.headers["location"]:
        answer = anonymous(lab, answer.headers["location"].removeprefix(lab.url))
    assert answer.status_code == 302, answer.text


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "token nonsense"}, {"authorization": "token x token"}, {"authorization": "Bearer nonsense"}],
)
def test_a_wrong_token_gets_403(lab, headers):
    assert anonymous(lab, "/api/status", **headers).status_code == 403
    assert anonymous(lab, "/api/status?token=nonsense").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", "10.0.0.1:8888"])
def test_a_foreign_host_gets_403_even_with_the_token(lab, host):
    assert lab.call("GET", "/api/status", host=host).status_code == 403
    assert lab.call("GET", "/lab", host=host).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost:1"])
def test_a_page_of_another_origin_is_refused_even_with_the_token(lab, origin):
    assert lab.call("GET", "/api/status", origin=origin).status_code == 404
    assert lab.call("POST", "/api/kernels", {"name": "python3"}, origin=origin).status_code in (403, 404)
    assert lab.call("GET", "/api/kernels").json() == []


def test_the_link_logs_a_browser_in_with_a_cookie_of_this_site_alone(lab):
    with httpx.Client(base_url=lab.url, trust_env=False) as browser:
        page = browser.get(f"/lab/tree/start_here.ipynb?token={lab.token}")
        assert page.status_code == 200
        (cookie,) = (text for text in page.headers.get_list("set-cookie") if text.startswith("username-"))
        assert "httponly" in cookie.lower() and "samesite=strict" in cookie.lower()
        assert browser.get("/api/status").status_code == 200
        assert browser.post("/api/kernels", json={"name": "python3"}).status_code == 403, (
            "a cookie needs the XSRF token"
        )


def channels(kernel: Kernel, **headers: str) -> str:
    with connect(kernel.address, additional_headers=headers) as socket:
        return socket.protocol.state.name


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "token nonsense"}, {"origin": "http://evil.example"}], ids=str
)
def test_a_kernels_channel_is_closed_to_anyone(kernel, headers):
    with pytest.raises(InvalidStatus) as refused:
        channels(kernel, **headers)
    assert refused.value.response.status_code == 403


def test_a_kernels_channel_is_open_to_the_own_page_and_no_other(kernel, lab):
    known = {"authorization": f"token {lab.token}"}
    assert channels(kernel, **known, origin=lab.url) == "OPEN"
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        with pytest.raises(InvalidStatus) as refused:
            channels(kernel, **known, origin=origin)
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus):
        channels(kernel, **known, host="evil.example")


def test_there_is_no_terminal(lab):
    assert lab.call("GET", "/api/terminals").status_code == 404
    assert lab.call("POST", "/api/terminals", {}).status_code in (404, 405)


def test_the_password_stays_none(lab):
    with httpx.Client(base_url=lab.url, trust_env=False) as browser:
        browser.get("/login")
        form = {"password": lab.token, "new_password": "mine", "_xsrf": browser.cookies["_xsrf"]}
        browser.post("/login", data=form)
    assert anonymous(lab, "/api/status", authorization="token mine").status_code == 403


def test_the_token_is_in_no_command_environment_or_log(lab, kernel):
    anonymous(lab, f"/lab?token={lab.token}")
    kernel("1")
    family = lab.family()
    assert len(family) >= 3, "loc exec, the server, a kernel"
    for process in family:
        assert lab.token not in read_proc(process.pid, "cmdline") + read_proc(process.pid, "environ")
    assert lab.token not in lab.log.read_text()


def test_only_loopback_listens(lab, kernel):
    kernel("1")
    listening = [
        connection.laddr.ip
        for process in lab.family()
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == "LISTEN"
    ]
    assert len(listening) > 1 and set(listening) == {"127.0.0.1"}
