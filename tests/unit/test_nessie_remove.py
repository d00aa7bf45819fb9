"""A branch of a killed writer goes, although a statement that still runs moves it."""

import pytest

from proto_loc.warehouse.iceberg import nessie


def test_a_branch_that_moves_meanwhile_is_removed(monkeypatch):
    places = iter(("first", "second"))
    gone = []

    def delete(reference: nessie.Reference) -> None:
        if reference.hash == "first":
            raise nessie.Moved("Named-reference 's_1' is not at expected hash")
        gone.append(reference.hash)

    monkeypatch.setattr(nessie, "find", lambda name: nessie.Reference(name, "BRANCH", next(places)))
    monkeypatch.setattr(nessie, "delete", delete)
    nessie.remove("s_1")
    assert gone == ["second"]


def test_one_that_moves_on_and_on_is_an_error(monkeypatch):
    monkeypatch.setattr(nessie, "PATIENCE", 0)
    monkeypatch.setattr(nessie, "find", lambda name: nessie.Reference(name, "BRANCH", "x"))

    def delete(reference: nessie.Reference) -> None:
        raise nessie.Moved(reference.name)

    monkeypatch.setattr(nessie, "delete", delete)
    with pytest.raises(nessie.Moved):
        nessie.remove("s_1")
