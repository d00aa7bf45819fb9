"""Fixtures of the suite: a platform with one source, whose rows dlt fetches."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from proto_loc import credentials, sources
from proto_loc.setup import environments
from proto_loc.sources import Outcome
from proto_loc.sources.dlt import DltSource
from proto_loc.warehouse import lake


class Platform:
    """A platform in a folder of its own, with one source."""

    def __init__(self, home: Path, use: Callable[[DltSource], None]) -> None:
        self.home, self._use = home, use
        self.source: DltSource | None = None

    def declare(self, *arguments, **options) -> DltSource:
        """Make this the platform's source."""
        return self.adopt(DltSource(*arguments, **options))

    def adopt(self, source: DltSource) -> DltSource:
        self.source = source
        self._use(source)
        return source

    def fetch(self, **options) -> list[Outcome]:
        return self.source.fetch(who="test", report=lambda *state: None, **options)

    def rows(self, sql: str) -> list[tuple]:
        """Return rows of the current ``raw``."""
        with lake.settle(sources.declared_columns()).open() as con:
            return con.execute(sql).fetchall()

    def secret(self, name: str, text: str) -> None:
        credentials.keep(name, text)

    def said(self) -> str:
        """Everything that was written to logs and folders of the run."""
        paths: Sequence[Path] = [*self.home.rglob("*.log"), *self.home.rglob("*.json*")]
        return "\n".join(path.read_text(errors="replace") for path in paths)


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    """dlt's environment, which nothing else of the suite needs."""
    environments.sync("dlt")


@pytest.fixture
def platform(tmp_path, monkeypatch) -> Platform:
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Platform(
        tmp_path,
        lambda source: monkeypatch.setattr(sources, "find_sources", lambda: {source.name: source}),
    )
