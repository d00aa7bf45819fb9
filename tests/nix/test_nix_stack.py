"""`nix develop -c process-compose up` in a fresh clone ends with published data.

If process-compose is not installed, the stand-in for nixpkgs runs ``proto_loc.compose`` as
``process-compose``, and the summary of the test run says so. Packages come from the registry or
uv's cache.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from running import PROBES

from proto_loc.setup.environments import uv

BOUND = 450.0
"""Time limit in seconds for installing, starting and loading on a busy machine."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_process_compose_up_in_the_shell_ends_with_published_data_and_a_pure_shell_finds_it(
    nix, own_clone: Path, offline, port_prefix: str
):
    uv("--version")  # downloads the golden uv in case it is the stand-in for the shell's uv
    with tempfile.TemporaryDirectory(prefix="loc-") as home:
        chosen = {
            "LOC_DATA": f"{home}/data",
            "LOC_RUN": f"{home}/run",
            "LOC_PORT_PREFIX": port_prefix,
        }
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "PC_"))
        }
        outside |= nix.environment | chosen | {"PC_DISABLE_TUI": "1"}  # there is no terminal

        def states() -> dict[str, str]:
            if not (own_clone / ".venvs/platform/.stamp").exists():
                return {}
            status = [own_clone / "loc", "status", "--json"]
            done = subprocess.run(status, env=outside, capture_output=True, text=True, timeout=60)
            services = json.loads(done.stdout)["services"]
            return {state["name"]: state["verdict"] for state in services}

        with Path(home, "up.log").open("w+") as log:
            up = subprocess.Popen(
                ["nix", "develop", ".", *offline, "-c", "process-compose", "up"],
                cwd=own_clone,
                env=outside,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                end = time.monotonic() + BOUND
                wanted = dict.fromkeys(PROBES, "ready") | dict.fromkeys(
                    ("setup", "first-load", "superset-provision"), "done"
                )
                while (
                    (found := states()) != wanted and up.poll() is None and time.monotonic() < end
                ):
                    assert "failed" not in found.values(), found
                    time.sleep(2)
                log.seek(0)
                assert found == wanted, log.read()[-5000:]
                manifests = sorted(
                    Path(home, "data/warehouse/prod/versions").glob("*/manifest.json")
                )
                last = json.loads(manifests[-1].read_text())
                assert (
                    last["checks"]["pass"] > 0 and last["tables"]["marts.fct_taxi_trips"] > 200_000
                )

                venv = own_clone / ".venvs/platform"
                _, python, libraries = (venv / ".stamp").read_text().splitlines()
                assert python.startswith(nix.environment["NIX_STORE_DIR"]), (
                    "the Python of the shell"
                )
                assert libraries.split(":")[0].startswith(nix.environment["NIX_STORE_DIR"]), (
                    "and its libraries"
                )
                seen = nix("run", ".#loc", *offline, "--", "status", cwd=own_clone, **chosen)
                assert "setting up" not in seen.stderr, (
                    "the shell and `nix run` agree on what is installed"
                )
                nix("run", ".#loc", *offline, "--", "down", cwd=own_clone, **chosen)
                assert up.wait(60) == 0

                # The same from a shell that has nothing of the machine.
                keep = [word for name in chosen for word in ("--keep", name)]
                pure = ["develop", "--ignore-environment", *keep, ".", *offline]
                again = nix(*pure, "-c", "./loc", "up", "-d", cwd=own_clone, **chosen)
                assert "http://127.0.0.1:" in again.stdout
                assert len(list(Path(home, "data/warehouse/prod/versions").iterdir())) == len(
                    manifests
                )
            finally:
                subprocess.run(
                    [own_clone / "loc", "down"], env=outside, capture_output=True, timeout=120
                )
                if up.poll() is None:
                    os.killpg(up.pid, signal.SIGTERM)
                    up.wait(60)
                shutil.rmtree(
                    own_clone / ".venvs", ignore_errors=True
                )  # pytest keeps the folders of three runs
