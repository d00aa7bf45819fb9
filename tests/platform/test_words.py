"""The platform's code contains no word of the demonstration's domain."""

import pytest
from words import domain_words

from proto_loc.settings import ROOT

SUFFIXES = {".py", ".js", ".sql", ".yml", ".yaml", ".json", ".css", ".html", ".toml", ""}
FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("proto_loc", "tests/platform")
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
    and path.suffix in SUFFIXES
    and not {"node_modules", "__pycache__"} & set(path.parts)
    and path.name not in ("package-lock.json", "test_words.py")
)


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_platform_has_no_word_of_the_domain(file: str):
    assert domain_words((ROOT / file).read_text(), file) == []


def test_a_word_of_the_domain_is_found():
    text = "one trip\nper_colour\na stripe\n[green]fine\nround trip\nfares"
    assert [line[0] for line in domain_words(text)] == ["1", "2", "6"]
