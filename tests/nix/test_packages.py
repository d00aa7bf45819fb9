"""Every service is a package: built from archives in the store, without a network, and answering.

The store is prepared with the archives of the locks: see ``prepared`` in tests/nix/conftest.py. It
takes ten minutes with the builds, so that they run with --all.
"""

import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import archives
import pytest
from archives import SYSTEM

from proto_loc.setup import nix_lock
from proto_loc.setup.environments import golden, names

pytestmark = [pytest.mark.xdist_group("nix"), pytest.mark.timeout(600)]
PACKAGES = [*names(), "cube"]
SERVICES = ("cube", "dagster", "dbt", "jupyter", "superset")


def build(nix, clone: Path, arguments: list[str], *outputs: str, **options) -> list[Path]:
    """Build outputs of the flake without a network; return their paths."""
    done = nix(
        "build", "--json", "--no-link", *outputs, *arguments, cwd=clone, loopback=True, **options
    )
    return [Path(built["outputs"]["out"]) for built in json.loads(done.stdout)]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_built_offline_and_again_with_the_same_hash(
    nix, clone: Path, prepared, package: str
):
    """``--rebuild`` fails if the NAR hash of the second build is another one."""
    (path,) = build(nix, clone, prepared, f".#{package}")
    assert build(nix, clone, prepared, f".#{package}", "--rebuild") == [path]


@pytest.mark.slow
def test_environments_have_the_shape_of_a_clone(nix, clone: Path, prepared):
    """The launcher reads stamps: they have the checksums of the locks."""
    (folder,) = build(nix, clone, prepared, ".#environments")
    assert {path.name for path in folder.iterdir()} == set(PACKAGES)
    for name in names():
        locks = [f"locks/{lock}.txt" for lock in (name, "build", "uv")]
        checksums = subprocess.check_output(["cksum", *locks], cwd=clone, text=True)
        stamp, python, _ = (folder / name / ".stamp").read_text().splitlines()
        assert stamp == f"{' '.join(checksums.split())} {(folder / name).resolve()}"
        assert (folder / name / "bin/python").resolve() == Path(python).resolve()
    modules = folder / "cube/node_modules"
    lock = (clone / "proto_loc/cube/server/package-lock.json").read_bytes()
    assert (modules / ".loc-stamp").read_text().startswith(nix_lock.sha256(lock) + " v24.")


@pytest.mark.slow
@pytest.mark.parametrize("package", names())
def test_modules_are_imported_from_the_store(nix, clone: Path, prepared, package: str):
    build(nix, clone, prepared, f".#checks.{SYSTEM}.imports-{package}")


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_service_answers_from_the_store(nix, clone: Path, prepared, service: str):
    build(nix, clone, prepared, f".#checks.{SYSTEM}.smoke-{service}")


@pytest.mark.slow
def test_no_archive_is_in_a_closure(nix, clone: Path, prepared):
    """A package that names an archive would drag it onto every machine."""
    (folder,) = build(nix, clone, prepared, ".#environments")
    info = nix("path-info", "--recursive", str(folder), cwd=clone).stdout
    assert str(folder) in info
    assert not re.search(r"\.(whl|tgz|tar\.gz)$", info, re.MULTILINE)


def test_lock_without_its_archives_is_an_error(nix, own_clone: Path, offline):
    """locks/NAME.txt changed, and ``loc lock`` did not write locks/NAME.json."""
    path = own_clone / "locks/docs.txt"
    path.write_text(path.read_text() + "\n")
    stderr = nix("eval", "--raw", ".#docs.drvPath", *offline, cwd=own_clone, fails=True).stderr
    assert "locks/docs.json names the archives of another locks/docs.txt." in stderr
    assert "fix: ./loc lock" in stderr


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "npm_config_registry"])
def test_a_password_in_an_address_does_not_get_into_the_store(
    nix, clone: Path, offline, variable: str
):
    package = "docs" if variable == "UV_DEFAULT_INDEX" else "cube"
    arguments = ["eval", "--impure", "--raw", f".#{package}.drvPath", *offline]
    own = {variable: "https://me:secret-word@index.example/simple/"}
    stderr = nix(*arguments, cwd=clone, fails=True, **own).stderr
    assert f"{variable} has a user or a password" in stderr and "fix: " in stderr
    assert "secret-word" not in stderr
    own[variable] = "https://index.example/a@b/"
    assert nix(*arguments, cwd=clone, **own).stdout.endswith(".drv")


@pytest.mark.parametrize("system", nix_lock.SYSTEMS)
def test_every_system_has_its_own_archives(nix, clone: Path, offline, system: str):
    evaluated = nix(
        "eval", "--raw", f".#packages.{system}.environments.drvPath", *offline, cwd=clone
    ).stdout
    requisites = subprocess.check_output(
        ["nix-store", "--query", "--requisites", evaluated],
        env=nix.environment | {"PATH": str(Path(shutil.which("nix-store")).parent)},
        text=True,
    )
    (duckdb,) = {file for file in re.findall(r"-(duckdb-\S+\.whl)\.drv$", requisites, re.MULTILINE)}
    machine = {"aarch64-darwin": "macosx", "aarch64-linux": "aarch64", "x86_64-linux": "x86_64"}
    assert golden()["core"]["duckdb"] in duckdb and machine[system] in duckdb
    node = system.replace("aarch64", "arm64").replace("x86_64", "x64").split("-")
    bindings = set(re.findall(r"-duckdb-node-bindings-(\w+-\w+)-\d", requisites))
    assert bindings == {f"{node[1]}-{node[0]}"}


def test_archives_come_from_another_index(nix, clone: Path, offline, tmp_path: Path):
    """``UV_DEFAULT_INDEX`` names it; the store is empty before."""
    made = [json.loads(nix_lock.path(name).read_text())["archives"] for name in ("docs", "build")]
    needed = {file for by_system in made for file in by_system["all"] | by_system[SYSTEM]}
    paths = [path for path in archives.of_environments() if path.name in needed]
    for path in (*paths, archives.wheel("uv")):
        project = tmp_path / "simple" / path.name.partition("-")[0].replace("_", "-").lower()
        project.mkdir(parents=True, exist_ok=True)
        (project / path.name).symlink_to(path)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = {f"NIX_{name}_DIR": f"{tmp_path}/{name.lower()}" for name in ("STORE", "STATE")}
        own["XDG_CACHE_HOME"] = f"{tmp_path}/cache"  # the usual one names paths of the usual store
        own["UV_DEFAULT_INDEX"] = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        nix(
            "build",
            "--impure",
            "--out-link",
            str(tmp_path / "result"),
            ".#docs",
            *offline,
            cwd=clone,
            **own,
        )
        server.shutdown()
    assert (tmp_path / "result/lib/python3.11/site-packages/sphinx/__init__.py").exists()


def test_archives_are_downloaded_by_a_python_that_has_pip(tmp_path: Path, monkeypatch):
    """Bug: `nix run .#test` has the flake's python3 first, without pip, and tests were skipped."""
    (tmp_path / "python3").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert archives.pip_command.__wrapped__() == ["/usr/bin/python3", "-m", "pip"]
