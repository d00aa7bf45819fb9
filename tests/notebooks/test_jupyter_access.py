"""Access to JupyterLab over HTTP and WebSockets needs the token and comes from its own pages."""

import base64
import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from lab import Kernel, Lab, read_proc
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from proto_loc.jupyter import client
from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("notebooks")

CALLS = (
    "/api/status",
    "/api/me",
    "/api/contents",
    "/api/contents/start_here.ipynb",
    "/api/kernels",
    "/api/kernelspecs",
    "/api/sessions",
    "/lab/api/settings",
    "/lab/api/workspaces",
    "/metrics",
)
PAGES = (
    "/",
    "/lab",
    "/lab/tree/start_here.ipynb",
    "/files/start_here.ipynb",
    "/nbconvert/html/start_here.ipynb",
)


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
    [
        {"authorization": "token nonsense"},
        {"authorization": "token x token"},
        {"authorization": "Bearer nonsense"},
    ],
)
def test_a_wrong_token_gets_403(lab, headers):
    assert anonymous(lab, "/api/status", **headers).status_code == 403
    assert anonymous(lab, "/api/status?token=nonsense").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", "10.0.0.1:8888"]
)
def test_a_foreign_host_gets_403_even_with_the_token(lab, host):
    assert lab.call("GET", "/api/status", host=host).status_code == 403
    assert lab.call("GET", "/lab", host=host).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost:1"]
)
def test_a_page_of_another_origin_is_refused_even_with_the_token(lab, origin):
    assert lab.call("GET", "/api/status", origin=origin).status_code == 404
    assert lab.call("POST", "/api/kernels", {"name": "python3"}, origin=origin).status_code in (
        403,
        404,
    )
    assert lab.call("GET", "/api/kernels").json() == []


def test_the_link_logs_a_browser_in_with_a_cookie_of_this_site_alone(lab):
    with httpx.Client(base_url=lab.url, trust_env=False) as browser:
        page = browser.get(f"/lab/tree/start_here.ipynb?token={lab.token}")
        assert page.status_code == 200
        (cookie,) = (
            text for text in page.headers.get_list("set-cookie") if text.startswith("username-")
        )
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
        assert lab.token not in read_proc(process.pid, "cmdline") + read_proc(
            process.pid, "environ"
        )
    assert lab.token not in lab.log.read_text()


SUBSCRIBER = """
import sys, time, zmq
context, heard = zmq.Context(), zmq.Poller()
for port in sys.argv[1:]:
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"")
    socket.connect(f"tcp://127.0.0.1:{port}")
    heard.register(socket, zmq.POLLIN)
print("ready", flush=True)
for socket, _ in heard.poll(3000):
    print("heard", socket.recv_multipart())
"""


def test_no_other_user_overhears_a_kernel(lab, kernel, platform):
    """Bug: kernels listened on TCP, so any user could read code and output without a key."""
    kernel("1")
    folder = Path(json.loads(kernel_file(platform))["ip"]).parent
    assert folder.is_dir() and any(folder.iterdir()) and folder.stat().st_mode & 0o077 == 0
    listening = [
        connection.laddr
        for process in lab.family()
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == "LISTEN"
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    ports = [str(address.port) for address in listening if address.port != lab.port]
    command = [ROOT / ".venvs/notebooks/bin/python", "-c", SUBSCRIBER, *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        assert subscriber.stdout.readline() == "ready\n"
        for _ in range(4):
            time.sleep(0.5)
            kernel("print('for my eyes only')")
        assert subscriber.stdout.read() == ""


def kernel_file(platform) -> str:
    """Return the newest kernel's connection file."""
    return max(
        platform.glob("run/jupyter/runtime/kernel-*.json"), key=lambda file: file.stat().st_mtime
    ).read_text()


def server_memory(lab: Lab) -> int:
    """Return the memory of the server's process in megabytes."""
    (server,) = (each for each in lab.family() if "jupyter-lab" in " ".join(each.cmdline()[:3]))
    return server.memory_info().rss >> 20


def pieces(megabytes: int):
    """Yield a body of unknown length."""
    for _ in range(megabytes):
        yield b"x" * (1 << 20)


@pytest.mark.parametrize(
    "kind", ["known length", "unknown length", "wrong token", "foreign cookie", "log-in"]
)
def test_the_body_of_anyone_fills_no_memory(lab, kind):
    """Bug: three bodies of 250 MB, from any web page, took the server's memory from 82
    to 829 MB.
    """
    headers = {
        "wrong token": {"authorization": "token no"},
        "foreign cookie": {"cookie": f"{cookie_name(lab)}=2|1:0|10"},
    }
    content = pieces(100) if kind == "unknown length" else b"x" * (100 << 20)
    before = server_memory(lab)
    try:
        path = "/login" if kind == "log-in" else "/api/contents"
        answer = httpx.post(
            lab.url + path, content=content, headers=headers.get(kind), trust_env=False, timeout=60
        )
        assert answer.status_code == 400
    except httpx.TransportError:
        pass  # the server closes the connection before the whole body is sent
    assert server_memory(lab) < before + 30
    assert lab.call("GET", "/api/status").status_code == 200


def cookie_name(lab: Lab) -> str:
    return f"username-127-0-0-1-{lab.port}"


def test_who_is_logged_in_uploads_up_to_the_bound(lab):
    file = ROOT / "notebooks" / "work" / "test-upload.bin"
    body = {
        "type": "file",
        "format": "base64",
        "content": base64.b64encode(b"x" * (12 << 20)).decode(),
    }
    try:
        assert lab.call("PUT", f"/api/contents/work/{file.name}", body).status_code == 201
        assert file.stat().st_size == 12 << 20
        file.unlink()
        with httpx.Client(base_url=lab.url, trust_env=False, timeout=60) as browser:
            browser.get(f"/lab?token={lab.token}")
            known = {"X-XSRFToken": browser.cookies["_xsrf"]}
            assert (
                browser.put(f"/api/contents/work/{file.name}", json=body, headers=known).status_code
                == 201
            )
        assert file.stat().st_size == 12 << 20
    finally:
        file.unlink(missing_ok=True)
    try:
        known = {"authorization": f"token {lab.token}"}
        answer = httpx.put(
            f"{lab.url}/api/contents/work/{file.name}",
            content=pieces(140),
            headers=known,
            trust_env=False,
            timeout=60,
        )
        assert answer.status_code == 400
    except httpx.TransportError:
        pass
    assert not file.exists()


def test_a_validation_ends_the_session_of_its_own_page_only(lab):
    def begin(path: str) -> dict:
        session = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        return lab.call("POST", "/api/sessions", session).json()

    def sessions() -> set[str]:
        return {session["path"] for session in lab.call("GET", "/api/sessions").json()}

    with client.session_of("start_here.ipynb"):
        begin("start_here.ipynb")
        person = begin("work/a_person.ipynb")
    assert sessions() == {"work/a_person.ipynb"}
    with client.session_of("work/a_person.ipynb"):
        pass
    assert sessions() == {"work/a_person.ipynb"}, "it was there before"
    with ExitStack() as pages:
        with client.session_of("start_here.ipynb", patience=1):
            shared = begin("start_here.ipynb")
            kernel = Kernel(lab, shared["kernel"]["id"])
            token = {"authorization": f"token {lab.token}"}
            pages.enter_context(connect(kernel.address, additional_headers=token))
        assert sessions() == {"start_here.ipynb", "work/a_person.ipynb"}, "somebody has it open"
    for session in (shared, person):
        lab.call("DELETE", f"/api/sessions/{session['id']}")
