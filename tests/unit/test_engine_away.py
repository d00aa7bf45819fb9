"""Versions that an engine keeps which does not answer, or is not installed, stop nothing else."""

import dataclasses

import pytest
from test_warehouse import publish

from proto_loc import warehouse
from proto_loc.cli import main
from proto_loc.warehouse import store
from proto_loc.warehouse.engine import named
from proto_loc.warehouse.iceberg import nessie
from proto_loc.warehouse.iceberg.connection import StatementFailed, TableMissing


@pytest.fixture
def away(data, port_prefix, monkeypatch) -> list[int]:
    """The ids of five versions, of which Trino keeps the first one; it does not run."""
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setattr(nessie, "PATIENCE", 0.0)
    published = [publish(number) for number in range(1, 6)]
    first = dataclasses.replace(published[0], engine="trino", checksums={})
    manifest = first.folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(first.dump())
    first.path.unlink()
    return [version.id for version in published]


def test_they_do_not_keep_other_versions_from_being_pruned(away):
    """Bug: the first one that could not be removed ended it, at each publish anew."""
    with pytest.raises(warehouse.WarehouseError) as failed:
        warehouse.prune("prod", keep=1, now=True)
    assert f"1 of 4 versions of prod were not removed, such as {away[0]}" in failed.value.what
    assert failed.value.why and failed.value.fix
    assert store.versions("prod") == [away[0], away[-1]]


def test_they_are_not_taken_for_damaged_or_whole(away, capsys):
    first, *others = warehouse.verify("prod", away)
    assert (first.state, first.damage) == ("not read", None) and first.trouble.fix
    assert {verdict.state for verdict in others} == {"whole"}
    assert main(["db", "history"]) == 0
    assert "not read" in capsys.readouterr().out
    assert main(["db", "verify", "--all"]) == 1
    assert "Nessie does not answer" in capsys.readouterr().err


def test_a_failed_statement_is_no_defect_of_the_platform(data):
    """Bug: wrong keys of the object store were called a defect of proto_loc."""
    failed = TableMissing("Catalog 'v3' not found", "CATALOG_NOT_FOUND")
    assert isinstance(failed, StatementFailed) and isinstance(failed, warehouse.WarehouseError)
    assert str(failed) == failed.why == "Catalog 'v3' not found"
    assert "trino.log" in failed.fix


def test_what_was_moved_back_stays_served(away):
    """Bug: the next session on Trino served the version again that Nessie's main was left at."""
    assert named("trino").heal("prod", away[-1]) == away[-1], "without a look into Nessie"
    with pytest.raises(warehouse.WarehouseError):
        named("trino").heal("prod", away[0])
