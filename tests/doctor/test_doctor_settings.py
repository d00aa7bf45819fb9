"""Doctor on settings, proxies, certificates and package registries."""

import socket
import time

import pytest
from troubles import findings, is_well, only


@pytest.fixture
def dead_port():
    """A port of this machine that nobody listens on, and nobody else gets."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@pytest.mark.trouble("settings", "Every command refuses a setting")
@pytest.mark.parametrize(
    "name, value", [("LOC_KEEP_VERSIONS", "many"), ("LOC_CUBE_PORT", "3000"), ("LOC_DATA", "/a?b")]
)
def test_a_setting_that_cannot_be_used(data, monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    finding = only("settings")
    assert finding.status == "fail" and (name in finding.what or value in finding.what)


@pytest.mark.trouble("settings", "A setting has no effect")
def test_a_setting_with_a_misspelt_name(data, monkeypatch):
    assert is_well("settings")
    misspelt = "LOC_KEEP_VERSIONS".removesuffix("S")
    monkeypatch.setenv(misspelt, "5")
    finding = only("settings")
    assert finding.status == "warn" and finding.what == f"{misspelt} is no setting."
    assert finding.fix.startswith("Is LOC_KEEP_VERSIONS meant?")


@pytest.mark.trouble("proxies", "Set-up or a source finds no host: the proxy cannot be used")
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("value", ["http://[::1", ":::", "http://127.0.0.1:eighty"])
def test_a_proxy_that_is_no_url(data, monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    finding = only("proxies")
    assert finding.status == "fail" and finding.what == f"{name} names no proxy."


@pytest.mark.trouble("proxies", "Set-up or a source finds no host: the proxy cannot be used")
def test_a_proxy_that_does_not_answer(data, monkeypatch, dead_port: int):
    assert is_well("proxies")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden@127.0.0.1:{dead_port}")
    finding = only("proxies")
    assert finding.what == f"The proxy of HTTPS_PROXY, 127.0.0.1:{dead_port}, does not answer."
    assert finding.why == "Connection refused." and "hidden" not in str(finding)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert is_well("proxies")


@pytest.mark.trouble("mirrors", "Set-up or a source says that a certificate cannot be verified")
def test_certificates_that_are_gone(data, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/company.pem")
    finding = only("mirrors")
    assert finding.status == "fail" and finding.what == (
        "SSL_CERT_FILE=/nonexistent/company.pem is not there."
    )


@pytest.mark.trouble("mirrors", "Set-up cannot download packages from a mirror")
@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL", "pip.conf"])
def test_a_mirror_that_does_not_answer(data, tmp_path, monkeypatch, dead_port: int, name: str):
    url = f"http://user:hidden@127.0.0.1:{dead_port}/simple"
    if name == "pip.conf":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        (tmp_path / "pip").mkdir()
        (tmp_path / "pip/pip.conf").write_text(f"[global]\nindex-url = {url}\n")
    else:
        monkeypatch.setenv(name, url)
    finding = only("mirrors")
    assert finding.status == "warn" and f"127.0.0.1:{dead_port}, does not answer" in finding.what
    assert name in finding.what and "hidden" not in str(finding)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert is_well("mirrors"), "only the proxy can reach it"


def test_no_check_waits_for_a_host_that_drops_packets(data, monkeypatch):
    """The address is of a net that no machine has, so that its packets are lost or refused."""
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    began = time.monotonic()
    assert [finding.status for finding in findings("proxies")] == ["warn"]
    assert time.monotonic() - began < 2.9
