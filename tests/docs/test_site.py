"""Tests of the site that `loc docs` builds from docs/."""

import os
import runpy
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from screenshots import shot

from proto_loc.docs import website
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

INDEX = "# The guides\n\n## Start\n\n- [One](one.md)\n"


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A small folder of pages without a fault."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "README.md").write_text(INDEX)
    (folder / "one.md").write_text("# One\n\n## Second part\n\n[back](README.md#start)\n")
    return folder


def test_the_site_has_no_dead_link_and_asks_no_other_host():
    assert website.check() == len(list((ROOT / "docs").glob("*.md"))) + len(
        ["index", "search", "genindex"]
    )


def test_each_fault_of_a_page_is_named(pages):
    """A dead link, a dead anchor, and a page that the index does not list."""
    (pages / "two.md").write_text("# Two\n\n[gone](three.md), [part](one.md#third-part)\n")
    with pytest.raises(LocError, match="3 faults") as error:
        website.check(pages)
    for fault in ("two.md:3: ", "three.md", "third-part", "isn't included in any toctree"):
        assert fault in error.value.why


def test_a_picture_of_another_host_is_refused(pages):
    (pages / "one.md").write_text("# One\n\n![logo](https://example.org/logo.png)\n")
    with pytest.raises(LocError, match="asks another host") as error:
        website.check(pages)
    assert "one.html" in error.value.why and "example.org" in error.value.why


def test_a_fork_file_without_a_name_gives_the_platforms(tmp_path: Path):
    folder = tmp_path / "proto_loc/docs"
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "proto_loc/docs/conf.py", folder / "conf.py")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "loc"\nversion = "1"\n')
    (tmp_path / "fork.toml").write_text("demonstration = false\n")
    assert runpy.run_path(str(folder / "conf.py"))["project"] == "loc"


@pytest.fixture
def address(data):
    """The URL of the site, served by `loc docs serve`."""
    with subprocess.Popen(
        [ROOT / "loc", "docs", "serve"], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as server:
        yield server.stdout.readline().split()[0]
        server.send_signal(signal.SIGINT)


def test_a_browser_finds_a_word_without_the_network(address, browser):
    """Search works, pages fit a phone, and each request goes to the site itself."""
    faults = []
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda sent: sent.url.startswith(address) or faults.append(f"asked {sent.url}")
    )
    page.goto(f"{address}search.html?q=rollback")
    results = page.locator("ul.search li a[href*='warehouse']")
    results.first.wait_for(timeout=20_000)
    for name in ("index", "settings", "superset", "tests"):
        page.goto(f"{address}{name}.html")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{name} is {width} pixels wide"
    shot(page, "docs-360-dark")
    page.close()
    assert faults == []
