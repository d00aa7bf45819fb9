"""Every locked package installs on every supported platform without a compiler."""

import re
import subprocess

import pytest

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden, uv
from proto_loc.setup.locks import entries

ENVIRONMENTS = golden()["environments"]
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin")
PYTHON = golden()["tools"]["python"]
pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize(
    "platform",
    [PLATFORMS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in PLATFORMS[1:])],
)
@pytest.mark.parametrize("name", [*ENVIRONMENTS, "uv", "build"])
def test_installs_on(platform, name, tmp_path):
    """uv finds a file of each package that this platform can use.

    The lock names the packages that are built from source.
    """
    uv(
        "pip",
        "install",
        "--dry-run",
        "--no-deps",
        "--require-hashes",
        "--target",
        tmp_path,
        "--python-version",
        PYTHON,
        "--python-platform",
        platform,
        "--requirements",
        f"locks/{name}.txt",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "package"),
    [(name, package) for name, table in ENVIRONMENTS.items() for package in table["sdists"]],
)
def test_source_package_is_pure_python(name, package, tmp_path):
    """The build needs only the hashed tools of locks/build.txt, and the result runs on any
    platform.
    """
    only = tmp_path / "only.txt"
    only.write_text(
        f"--no-binary {package}\n" + entries((ROOT / f"locks/{name}.txt").read_text())[package]
    )
    venv = tmp_path / "venv"
    uv("venv", "--quiet", "--python", PYTHON, venv)
    uv("pip", "sync", "--require-hashes", "--python", venv, "locks/build.txt")
    uv(
        "pip",
        "install",
        "--no-deps",
        "--require-hashes",
        "--no-build-isolation",
        "--refresh-package",
        package,
        "--python",
        venv,
        "--requirements",
        only,
    )
    (wheel,) = venv.glob(
        f"lib/*/site-packages/{re.sub('[-_.]+', '[-_.]', package)}-*.dist-info/WHEEL"
    )
    assert "Root-Is-Purelib: true" in wheel.read_text() and "-none-any" in wheel.read_text()


def test_sdists_are_those_that_need_it():
    """A package is removed from the list when it is published as a wheel."""
    for name, table in ENVIRONMENTS.items():
        for package in table["sdists"]:
            only = entries((ROOT / f"locks/{name}.txt").read_text())[package]
            command = [
                ROOT / "loc",
                "--uv",
                "pip",
                "install",
                "--dry-run",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--target",
                "/nonexistent",
                "--requirements",
                "-",
            ]
            done = subprocess.run(command, input=only, text=True, capture_output=True, cwd=ROOT)
            assert "no usable wheels" in done.stderr, package
