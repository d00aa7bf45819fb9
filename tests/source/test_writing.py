"""The files of a source are written all or not at all, and never over another file."""

from pathlib import Path

import pytest

from proto_loc.errors import LocError, UsageError
from proto_loc.scaffold import writing

TEXTS = {"pipelines/shop/__init__.py": "SOURCE = 1\n", "dbt/models/marts/a.sql": "select 1\n"}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_file_in_the_way_is_named_and_nothing_is_written(tmp_path: Path):
    path = tmp_path / "dbt/models/marts/a.sql"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with (
        pytest.raises(UsageError, match="dbt/models/marts/a.sql is in the way"),
        writing.written(tmp_path, TEXTS),
    ):
        pass
    assert files(tmp_path) == {"dbt/models/marts/a.sql"} and path.read_text() == "mine"


@pytest.mark.parametrize("error", [LocError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_no_file_and_no_folder(tmp_path: Path, error: BaseException):
    (tmp_path / "dbt").mkdir()
    with pytest.raises(type(error)), writing.written(tmp_path, TEXTS):
        assert files(tmp_path) == set(TEXTS)
        (tmp_path / "pipelines/shop/__pycache__").mkdir()
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["dbt"]
    assert list((tmp_path / "dbt").iterdir()) == []


def test_a_file_where_a_folder_should_be_is_named_and_stays(tmp_path: Path):
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt/models").write_text("mine")
    with (
        pytest.raises(UsageError, match="dbt/models is in the way\\."),
        writing.written(tmp_path, TEXTS),
    ):
        pass
    assert files(tmp_path) == {"dbt/models"}


def test_a_file_that_cannot_be_removed_keeps_no_other(tmp_path: Path):
    with pytest.raises(LocError), writing.written(tmp_path, {"a/b.py": "", **TEXTS}):
        (tmp_path / "a/b.py").unlink()
        (tmp_path / "a").rmdir()
        (tmp_path / "a").write_text("mine")  # unlink of a/b.py fails from here on
        raise LocError("no")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_person_changed_is_known_and_a_failed_removal_puts_all_back(tmp_path: Path):
    root, keep = tmp_path / "clone", tmp_path / "kept"
    texts = TEXTS | writing.note("shop", TEXTS)
    with writing.written(root, texts):
        pass
    listed = writing.noted(root, "shop")
    assert set(listed) == set(texts) and writing.changed(root, listed) == []
    (root / "dbt/models/marts/a.sql").write_text("select 2\n")
    assert writing.changed(root, listed) == ["dbt/models/marts/a.sql"]
    with pytest.raises(LocError), writing.removed(root, list(listed), keep):
        assert files(root) == set()
        raise LocError("in use")
    assert files(root) == set(texts)
    with writing.removed(root, list(listed), keep):
        pass
    assert files(keep) == set(texts) and list(root.iterdir()) == []


def test_a_note_that_cannot_be_read_is_named(tmp_path: Path):
    path = tmp_path / writing.NOTE.format("shop")
    path.parent.mkdir(parents=True)
    assert writing.noted(tmp_path, "shop") == {}
    path.write_text("[]")
    with pytest.raises(LocError, match="written.json cannot be read"):
        writing.noted(tmp_path, "shop")
