"""The flake provides the libraries that wheels expect from the operating system."""

import re
import shutil
import subprocess

import pytest

from proto_loc.settings import ROOT

GLIBC = re.compile(r"(ld-linux-.*|lib(c|m|dl|rt|pthread|util|resolv)\.so\.\d)$")
LENT = set(re.findall(r"\$folder/([^']+)'", (ROOT / "loc").read_text()))


@pytest.mark.skipif(
    not shutil.which("readelf"), reason="readelf is not installed (apt-get install binutils)"
)
@pytest.mark.parametrize(
    "folder", sorted((ROOT / ".venvs").glob("*/lib/python3.11")), ids=lambda path: path.parts[-3]
)
def test_every_library_that_a_wheel_needs_is_lent(folder):
    """The test checks every installed environment; a wheel may contain some of its libraries."""
    modules = [path for path in folder.rglob("*.so*") if path.is_file()]
    said = subprocess.run(
        ["readelf", "--dynamic", "--wide", *modules], capture_output=True, text=True
    ).stdout
    needed = {name for name in re.findall(r"\(NEEDED\).*\[(.+)\]", said) if not GLIBC.match(name)}
    brought = {path.name for path in modules} | set(re.findall(r"\(SONAME\).*\[(.+)\]", said))
    assert "libstdc++.so.6" in needed or folder.parts[-3] != "platform", "readelf was understood"
    assert needed - brought <= LENT
    assert "libstdc++.so.6" in LENT
