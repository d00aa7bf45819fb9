"""`loc source` says what is wrong with its options before it looks at data."""

from pathlib import Path

import pytest

from proto_loc import cli

CASES = [
    ("add shop", "It is not said where the data is"),
    ("add shop --csv a.csv --json b.json", "--csv and --json contradict"),
    ("add shop --sql sqlite:///x --api https://x.example", "--sql and --api contradict"),
    ("add shop a.csv --api https://x.example", "Files and an address contradict"),
    ("add shop --table orders", "--table orders names no files"),
    ("add shop --table orders=a.csv --table orders=b.csv", "are of one table"),
    ("add shop --table my-orders=a.csv --table My_Orders=b.csv", "Its name is my_orders"),
    ("add shop --csv a.csv --key a=id --key a=name", "--key a=id and --key a=name are of one"),
    ("add shop --csv nothing-*.csv", "No file matches nothing-*.csv"),
    ("add json --csv a.csv", "A source cannot be named 'json'"),
    ("add shop --csv a.csv --key id", "--key id is incomplete"),
    ("add shop --csv a.csv --key b=id", "--key names the table b, which is none"),
    ("add shop --csv a.csv", "Nobody can be asked"),
    ("test nothing", "There is no source nothing"),
    ("load nothing", "There is no source nothing"),
    ("remove nothing", "There is no source nothing"),
]


@pytest.mark.parametrize(("line", "words"), CASES, ids=lambda value: value)
def test_a_mistake_is_named_and_nothing_is_written(
    line: str, words: str, tmp_path: Path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    Path("a.csv").write_text("id,name\n1,x\n2,y\n")
    assert cli.main(["source", *line.split()]) == 2
    error = capfd.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (Path("data") / "lake").exists()
