"""Nessie with its catalogue in PostgreSQL, as for more than one machine."""

import os
import socket
import subprocess

import psutil
import pytest
from databases import PASSWORD, postgresql_server
from trino_servers import Servers

from proto_loc.settings import ROOT
from proto_loc.trino import places
from proto_loc.warehouse.iceberg import nessie

pytestmark = pytest.mark.slow  # a server of Java: see conftest


@pytest.mark.timeout(600)
def test_what_was_committed_is_in_postgresql(data, tmp_path, port_prefix, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = Servers()
    with postgresql_server(tmp_path, port) as address:
        monkeypatch.setenv("LOC_ENGINE", "trino")
        monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
        monkeypatch.setenv("LOC_NESSIE_DATABASE", address)
        monkeypatch.setenv("NESSIE_PASSWORD", PASSWORD)
        subprocess.run([ROOT / "loc", "setup", "trino"], check=True)
        try:
            servers.start("nessie")
            servers.wait("nessie")
            made = nessie.create("v1", "TAG", nessie.head())
            servers.kill("nessie")
            servers.restart("nessie")
            assert nessie.find("v1") == made
            process = psutil.Process(servers.processes["nessie"].pid)
            for one in (process, *process.children(recursive=True)):
                assert PASSWORD not in " ".join(one.cmdline())
        finally:
            servers.end(*servers.processes)
    assert os.listdir(places.nessie_store()) == [], "the store of its own is not used"
