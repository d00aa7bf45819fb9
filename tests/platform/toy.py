"""A dbt project and sources in a temporary folder, which are loaded and published in-process."""

import importlib.util
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clone import SHOP

from proto_loc import sources, warehouse
from proto_loc.dbt import program
from proto_loc.refresh.job import Refreshed, load_and_refresh
from proto_loc.settings import ROOT


@dataclass
class Toy:
    """A project with the models of the shop, and with sources that a test may change."""

    home: Path
    sources: dict[str, object] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The folder of the dbt project."""
        return self.home / "dbt"

    def write(self, files: dict[str, str]) -> None:
        """Write files of the dbt project; an empty text deletes one."""
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text) if text else path.unlink()

    def load(self, source: str, paths: Iterable[Path], **options) -> Refreshed:
        """Load files of a source, build and publish."""
        return load_and_refresh(
            lambda report: self.sources[source].load_files(
                list(paths), who="test", report=report, **options
            ),
            who="test",
            report=lambda *_: None,
        )

    def refresh(self, **options) -> Refreshed:
        return load_and_refresh(None, who="test", report=lambda *_: None, **options)

    def file(self, name: str, *lines: str) -> Path:
        """Write a file for a source."""
        path = self.home / name
        path.write_text("\n".join(lines) + "\n")
        return path


def query(sql: str, database: str = "prod") -> list[tuple]:
    """Return rows of what is published."""
    with warehouse.read(database) as con:
        return con.execute(sql).fetchall()


def make_toy(home: Path, monkeypatch) -> Toy:
    """Make a toy with the models of the shop; its folders are patched for the test."""
    toy = Toy(home)
    shutil.copytree(SHOP / "dbt", toy.project)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / "dbt" / name, toy.project)
    (home / "proto_loc").symlink_to(ROOT / "proto_loc")  # the platform's part of the project
    specification = importlib.util.spec_from_file_location(
        "shop", SHOP / "pipelines/shop/__init__.py"
    )
    shop = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(shop)
    toy.sources["shop"] = shop.SOURCE
    monkeypatch.setenv("LOC_DATA", str(home / "data"))
    monkeypatch.setenv("LOC_RUN", str(home / "run"))
    monkeypatch.setattr(program, "PROJECT", toy.project)
    monkeypatch.setattr(sources, "find_sources", lambda: toy.sources)
    return toy
