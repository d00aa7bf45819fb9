"""Secrets are generated once, only this user can read them, and they are never overwritten."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from proto_loc import credentials
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import settings


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))


def test_a_secret_is_made_once_and_only_for_this_user():
    first = credentials.secret("jupyter")
    assert len(first) == 43
    assert credentials.secret("jupyter") == first != credentials.secret("dagster")
    file = credentials.path("jupyter")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert sorted(p.name for p in file.parent.iterdir()) == ["dagster", "jupyter"]


def test_processes_that_start_at_once_get_the_same_secret():
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(credentials.secret, ["dagster"] * 64))) == 1


def test_a_secret_of_ones_own_is_kept():
    credentials.secret("jupyter")
    credentials.path("jupyter").write_text("my own\n")
    assert credentials.secret("jupyter") == "my own"


def test_a_file_that_is_no_text_is_refused_by_name():
    credentials.secret("jupyter")
    credentials.path("jupyter").write_bytes(b"\xff\xfe")
    with pytest.raises(LocError, match="is not text"):
        credentials.secret("jupyter")


@pytest.mark.parametrize(
    ("text", "mode", "words"), [("", 0o600, "is empty"), ("x", 0o644, "Others can read")]
)
def test_an_empty_or_open_file_is_refused_by_name_and_kept(text, mode, words):
    credentials.secret("jupyter")
    file = credentials.path("jupyter")
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(LocError, match=words) as refused:
        credentials.secret("jupyter")
    assert str(file) in str(vars(refused.value))
    assert file.read_text() == text


@pytest.mark.parametrize("prefix", ["6", "0", "12", "x"])
def test_a_port_prefix_that_gives_no_ports_is_refused(monkeypatch, prefix):
    monkeypatch.setenv("LOC_PORT_PREFIX", prefix)
    with pytest.raises(UsageError, match="LOC_PORT_PREFIX"):
        settings()


def test_one_variable_moves_all_ports(monkeypatch):
    assert settings().port("dagster") == 3000
    monkeypatch.setenv("LOC_PORT_PREFIX", "5")
    assert (settings().port("dagster"), settings().port("jupyter")) == (53000, 58888)


def test_each_port_can_be_set_and_the_prefix_goes_before_it(monkeypatch):
    monkeypatch.setenv("LOC_DAGSTER_PORT", "3100")
    assert (settings().port("dagster"), settings().port("cube")) == (3100, 4000)
    monkeypatch.setenv("LOC_PORT_PREFIX", "2")
    assert settings().port("dagster") == 23100


@pytest.mark.parametrize(
    ("prefix", "port", "reason"),
    [
        ("", "80", "at least 1024"),
        ("", "x", "a whole number"),
        ("", "65536", "ports end at 65535"),
        ("1", "13000", "LOC_PORT_PREFIX=1"),
        ("", "4000", "LOC_DAGSTER_PORT and LOC_CUBE_PORT give the same port"),
    ],
)
def test_a_port_that_cannot_be_is_refused_by_name(monkeypatch, prefix, port, reason):
    monkeypatch.setenv("LOC_PORT_PREFIX", prefix)
    monkeypatch.setenv("LOC_DAGSTER_PORT", port)
    with pytest.raises(UsageError, match="LOC_DAGSTER_PORT") as refused:
        settings().port("dagster")
    assert reason in str(refused.value)
