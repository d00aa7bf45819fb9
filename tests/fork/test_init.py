"""``loc init NAME`` gives a clone a name, ports, a licence; what a person has changed stays."""

import subprocess
import sys

import pytest
import yaml
from repositories import PROJECT, Fork

from proto_loc import cli, fork_file
from proto_loc.cli import demo
from proto_loc.errors import UsageError
from proto_loc.fork import dbt_project, merge, removal, start
from proto_loc.settings import ROOT


def test_a_fork_has_its_name_ports_and_licence(fork: Fork):
    came = fork.git("rev-parse", "HEAD").strip()
    choices = start.Choices(
        "my-shop", {"dagster": 3100, "cube": 4100}, "MIT", "Ann Lee", workflows=False
    )
    start.check(choices, fork.root)
    lines = start.start(choices, root=fork.root)
    assert "README.md: written" in lines and "LICENSE: written" in lines
    assert fork.read("README.md").startswith("# my-shop\n")
    assert "Ann Lee" in fork.read("LICENSE") and fork.read("LICENSE").endswith("\n\nDo.\n")
    assert "somebody" in fork.read("proto_loc/LICENSE"), "the platform's own licence stays"
    assert fork.read(".pc_env") == (
        "PC_LOG_FILE=.run/log\nLOC_DAGSTER_PORT=3100\nLOC_CUBE_PORT=4100\n"
    )
    assert not (fork.root / ".github/workflows").exists()
    assert fork_file.read(fork.root / "fork.toml") == fork_file.Fork("my-shop", (), came)


def test_the_dbt_project_takes_the_name_once_the_demonstration_is_gone(fork: Fork):
    start.start(start.Choices("my-shop"), root=fork.root)
    assert start.name_project(fork.root) == [] and fork.read("dbt/dbt_project.yml") == PROJECT
    removal.finish(root=fork.root)
    assert start.name_project(fork.root) == ["dbt/dbt_project.yml: the name my_shop"]
    project = yaml.safe_load(fork.read("dbt/dbt_project.yml"))
    assert (project["name"], list(project["models"])) == ("my_shop", ["my_shop"])
    assert project["profile"] == "proto_loc", "the connection is the platform's"
    assert start.name_project(fork.root) == []


def test_a_second_time_changes_only_what_is_asked(fork: Fork):
    start.start(start.Choices("shop", {"cube": 4100}), root=fork.root)
    fork.commit("a fork")
    lines = start.start(start.Choices("store", {"cube": 4200}), root=fork.root)
    assert "README.md: yours, it stays" in lines
    assert fork.read(".pc_env") == "PC_LOG_FILE=.run/log\nLOC_CUBE_PORT=4200\n"
    assert fork_file.read(fork.root / "fork.toml").name == "store"


def test_a_readme_and_a_licence_of_ones_own_stay(fork: Fork):
    fork.write("README.md", "# Mine\n")
    fork.write("LICENSE", "Mine.\n")
    fork.commit("mine")
    removal.write_entries(fork.root / "fork.toml", upstream=fork.git("rev-parse", "HEAD~").strip())
    lines = start.start(start.Choices("shop", licence="none", owner="Ann"), root=fork.root)
    assert {"README.md: yours, it stays", "LICENSE: yours, it stays"} <= set(lines)
    assert fork.read("README.md") == "# Mine\n" and fork.read("LICENSE") == "Mine.\n"


def test_workflows_of_ones_own_stay(fork: Fork):
    fork.write(".github/workflows/docs.yml", "name: docs\n")
    fork.commit("the platform has two")
    came = fork.git("rev-parse", "HEAD").strip()
    removal.write_entries(fork.root / "fork.toml", upstream=came)
    fork.write(".github/workflows/docs.yml", "name: my docs\n")
    fork.write(".github/workflows/mine.yml", "name: mine\n")
    lines = start.start(start.Choices("shop", workflows=False), root=fork.root)
    assert [line for line in lines if line.startswith(start.WORKFLOWS)] == [
        ".github/workflows/ci.yml: removed",
        ".github/workflows/docs.yml: yours, it stays",
        ".github/workflows/mine.yml: yours, it stays",
    ]
    assert sorted(path.name for path in (fork.root / start.WORKFLOWS).iterdir()) == [
        *("docs.yml", "mine.yml")
    ]


def test_changes_that_are_not_committed_are_never_written_over(fork: Fork):
    fork.write("README.md", "# Not committed\n")
    with pytest.raises(UsageError, match=r"README\.md"):
        start.check(start.Choices("shop"), fork.root)


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"name": "Shop"}, "cannot be called 'Shop'"),
        ({"name": "my shop"}, "cannot be called 'my shop'"),
        ({"name": "shop-"}, "cannot be called 'shop-'"),
        ({"name": "proto_loc"}, "cannot be called"),
        ({"name": "shop", "ports": {"dagstr": 3100}}, "no service 'dagstr'"),
        ({"name": "shop", "ports": {"dagster": 80}}, "Port 80 for dagster"),
        ({"name": "shop", "licence": "MIT"}, "Add --owner"),
        ({"name": "shop", "licence": "BSD"}, "no file BSD"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_anything_is_written(choices, reason):
    with pytest.raises(UsageError, match=reason):
        start.Choices(**choices)


def test_a_port_of_another_service_is_refused(fork: Fork):
    with pytest.raises(UsageError, match="Two services would have port 4000"):
        start.check(start.Choices("shop", {"dagster": 4000}), fork.root)
    fork.write(".pc_env", "LOC_CUBE_PORT=4100\n")
    fork.commit("Cube has moved")
    with pytest.raises(UsageError, match="Two services would have port 4100"):
        start.check(start.Choices("shop", {"dagster": 4100}), fork.root)
    start.check(start.Choices("shop", {"dagster": 4000}), fork.root)
    with pytest.raises(UsageError, match="Two services would have port 4200"):
        start.check(start.Choices("shop", {"dagster": 4200, "cube": 4200}), fork.root)


def test_a_licence_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "licence.txt"
    path.write_bytes("Für alle".encode("latin-1"))
    with pytest.raises(UsageError, match=r"licence\.txt cannot be read"):
        start.Choices("shop", licence=str(path))


def test_a_dbt_project_without_room_is_refused_before_the_demonstration_goes(
    fork: Fork, monkeypatch
):
    """A model of one's own, and a changed one of the demonstration, stay where it would go."""
    fork.write("dbt/models/demo.sql", "select 3 as three")
    planned = removal.plan(fork.root)
    dbt_project.check_room(fork.root, planned.gone())
    with pytest.raises(UsageError, match=r"models/demo\.sql"):
        dbt_project.check_room(fork.root, planned.gone(planned.changed))
    fork.write("dbt/packages/checks/dbt_project.yml", "name: checks\n")
    with pytest.raises(UsageError, match=r"packages/checks"):
        dbt_project.check_room(fork.root, planned.gone())
    monkeypatch.setattr(removal, "check_present", lambda: None)
    monkeypatch.setattr(removal, "plan", lambda base: planned)
    monkeypatch.setattr(demo, "_show", lambda *_: None)

    def refuse(gone):
        dbt_project.check_room(fork.root, gone)

    with pytest.raises(UsageError, match=r"packages/checks"):
        demo.take_away(yes=True, changed="remove", check=refuse)
    assert all((fork.root / name).exists() for name in planned.files)


@pytest.mark.parametrize("output", ["", "[duckdb]"])
def test_an_output_of_a_profile_that_is_no_mapping_is_refused(tmp_path, output: str):
    (tmp_path / "dbt_project.yml").write_text("name: cafe\n")
    (tmp_path / "profiles.yml").write_text(f"cafe:\n  outputs: {{dev: {output}}}\n")
    with pytest.raises(UsageError, match=r"profiles\.yml, cafe\.dev"):
        dbt_project.read(tmp_path)


def test_a_port_that_is_no_number_is_refused(capsys):
    assert cli.main(["init", "shop", "--port", "dagster=x"]) == 2
    assert "--port dagster=x is not usable" in capsys.readouterr().err


def test_the_readme_of_a_fork_keeps_the_rules_of_the_docs():
    text = start.README.read_text()
    assert len(text.splitlines()) <= 120 and text.count("](") <= 6
    for place in ("docs/README.md", "docs/fork.md"):
        assert place in text and (ROOT / place).exists()
    for command in ("fork merge", "up", "test", "down", "doctor"):
        assert f"./loc {command}" in text


def test_a_named_fork_merges_a_later_version(fork: Fork, tmp_path):
    """The fork's own texts stay, and nothing conflicts, also on lines beside what it wrote."""
    upstream, mine = fork, Fork(tmp_path / "mine")
    mine.git("clone", "--quiet", "--origin", "upstream", str(upstream.root), ".")
    mine.git("config", "user.name", "test")
    mine.git("config", "user.email", "test@example.org")
    start.start(
        start.Choices("shop", {"cube": 4100}, "none", "Ann", workflows=False), root=mine.root
    )
    removal.finish(root=mine.root)
    start.name_project(mine.root)
    mine.commit("a fork named shop")
    upstream.write("README.md", "# proto_loc\n\nLater.\n")
    upstream.write("LICENSE", "MIT License, 2027\n")
    upstream.write(".pc_env", "PC_LOG_FILE=.run/log\nPC_NEW=1\n")
    upstream.write(".github/workflows/ci.yml", "name: CI, later\n")
    later = PROJECT.replace("profile:", "flags: {later: true}\nprofile:")
    upstream.write("dbt/dbt_project.yml", later)
    upstream.commit("later")
    mine.git("fetch", "--quiet", "upstream")
    merged = merge.merge(root=mine.root)
    assert ".github/workflows/ci.yml" in merged.kept_out
    assert mine.read("README.md").startswith("# shop") and "Ann" in mine.read("LICENSE")
    assert mine.read(".pc_env") == "PC_LOG_FILE=.run/log\nPC_NEW=1\nLOC_CUBE_PORT=4100\n"
    project = yaml.safe_load(mine.read("dbt/dbt_project.yml"))
    assert project["name"] == "shop" and project["flags"] == {"later": True}


def test_a_fork_s_ports_reach_the_settings(fork: Fork):
    start.start(start.Choices("shop", {"cube": 4100}), root=fork.root)
    code = (
        "from pathlib import Path; from proto_loc import dotenv; from proto_loc.settings import *;"
        f" dotenv.load(Path({str(fork.root)!r}) / '.env'); print(settings().port('cube'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True
    )
    assert done.stdout == "4100\n", done.stderr
