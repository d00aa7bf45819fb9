"""Tests of the test runs themselves: skipped tests, and the process of a test."""

import shutil
import socket
from collections import Counter

import pytest

from proto_loc.settings import PORTS

pytest_plugins = ["pytester"]


def test_no_skips_fails_what_is_skipped_but_for_absent_tlc_files(
    pytester: pytest.Pytester, pytestconfig, monkeypatch
):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    shutil.copy(pytestconfig.rootpath / "tests" / "conftest.py", pytester.path)
    pytester.makepyfile(
        "import pytest\n"
        "def test_a(): pytest.skip('no browser')\n"
        "def test_b(): pytest.skip('real TLC files are not at x')\n"
        "@pytest.mark.xfail\n"
        "def test_c(): assert False\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(skipped=2, xfailed=1)
    strict = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--no-skips")
    strict.assert_outcomes(failed=1, skipped=1, xfailed=1)
    pytester.makepyfile(test_module="import pytest\npytest.importorskip('no_such_module')\n")
    pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--no-skips", "test_module.py"
    ).assert_outcomes(errors=1)
    strict.stdout.fnmatch_lines(["*skipped, and --no-skips is set: Skipped: no browser*"])


def test_what_is_slow_runs_with_all_alone_and_the_longest_starts_first(
    pytester: pytest.Pytester, pytestconfig, monkeypatch
):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    shutil.copy(pytestconfig.rootpath / "tests" / "conftest.py", pytester.path)
    pytester.makeini("[pytest]\nmarkers = [slow, xdist_group]")
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.slow\n"
        "def test_a(): pass\n"
        "def test_b(): pass\n"
        "@pytest.mark.xdist_group('superset')\n"
        "def test_c(): pass\n"
    )
    plain = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v")
    plain.assert_outcomes(passed=2, deselected=1)
    plain.stdout.fnmatch_lines(["*::test_c*", "*::test_b*"])
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "--all").assert_outcomes(passed=3)


def test_each_module_of_the_tests_has_a_name_of_its_own(pytestconfig):
    """pytest imports all of them by their bare names."""
    files = (pytestconfig.rootpath / "tests").rglob("*.py")
    names = Counter(
        path.name
        for path in files
        if not {"shop", "doors"} & set(path.parts) and path.name != "conftest.py"
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_group_of_tests_shares_one_process(pytester: pytest.Pytester, monkeypatch):
    """So the resources of a group, such as a service on its ports, exist only once
    (``xdist_group``).
    """
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(
        "import os, pytest\n"
        "pytestmark = pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('number', range(12))\n"
        "def test_it(number): print('in', os.environ['PYTEST_XDIST_WORKER'])\n"
    )
    found = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "-rP"
    )
    found.assert_outcomes(passed=12)
    assert len({line for line in found.outlines if line.startswith("in gw")}) == 1


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
def test_a_reserved_port_is_for_a_service_and_for_nothing_else(port_prefix, port):
    """Bug: an outgoing connection on Jupyter's port made fifty tests fail to start Jupyter."""
    address = ("127.0.0.1", int(f"{port_prefix}{port}"))
    with socket.socket() as outgoing, pytest.raises(OSError, match="in use"):
        outgoing.bind(address)
    with socket.create_server(address), socket.create_connection(address) as asked:
        assert asked.getpeername() == address
