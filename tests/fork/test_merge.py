"""A later version of the platform merges into a fork that has removed the demonstration."""

import shutil
from pathlib import Path

import pytest
from clone import SHOP, copy_repository
from repositories import Fork, make_upstream

from proto_loc import fork_file
from proto_loc.errors import LocError, UsageError
from proto_loc.fork import merge, removal

MODEL = "".join(f"select {number} as column_{number} union all\n" for number in range(30))


@pytest.fixture
def upstream(tmp_path: Path) -> Fork:
    repository = make_upstream(tmp_path / "upstream")
    repository.write("dbt/models/demo.sql", MODEL)
    repository.commit("a longer model")
    return repository


@pytest.fixture
def fork(upstream: Fork, tmp_path: Path) -> Fork:
    """A fork without the demonstration, with a model that resembles one of the demonstration."""
    fork = Fork(tmp_path / "fork")
    fork.git("clone", "--quiet", "--origin", "upstream", str(upstream.root), ".")
    fork.git("config", "user.name", "test")
    fork.git("config", "user.email", "test@example.org")
    removal.remove(removal.plan(fork.root), root=fork.root)
    removal.finish(root=fork.root)
    fork.write("dbt/models/mine.sql", MODEL.replace("column_3 ", "own_3 "))
    fork.write("pipelines/mine/__init__.py", "SOURCE = 2\n")
    fork.write("README.md", "# Mine\n")
    fork.commit("a fork of my own")
    return fork


def go_on(upstream: Fork) -> None:
    """Change the platform, change and add files of the demonstration, move one of its folders."""
    upstream.write("proto_loc/core.py", "VERSION = 2\n")
    upstream.write("docs/new.md", "# New\n")
    upstream.write("README.md", "# proto_loc\n\nThe platform, later.\n")
    upstream.write("dbt/models/demo.sql", MODEL.replace("column_9 ", "changed_9 "))
    upstream.write("dbt/models/marts/later.sql", "select * from {{ ref('demo') }}\n")
    upstream.write("pipelines/demo/__init__.py", "SOURCE = 3\n")
    upstream.write("pipelines/demo/more.py", "MORE = 1\n")
    upstream.write("superset/roles.yaml", "Elsewhere: {places: [Elsewhere]}\n")
    upstream.write("evaluations/demo.yml", "[]\n")
    places = upstream.read("demonstration.toml").replace(
        '"dbt/seeds/"', '"dbt/seeds/", "evaluations/"'
    )
    upstream.write("demonstration.toml", places)
    upstream.git("rm", "--quiet", "dbt/seeds/demo.csv")
    upstream.commit("a later version")


def test_git_alone_conflicts_and_changes_a_model_of_the_fork(upstream: Fork, fork: Fork):
    """The reason for the command; if git learns it, the command may go."""
    go_on(upstream)
    fork.git("fetch", "--quiet", "upstream")
    fork.git("merge", "upstream/main", check=False)
    assert "pipelines/demo/__init__.py" in fork.git("diff", "--name-only", "--diff-filter=U")
    assert "changed_9" in fork.read("dbt/models/mine.sql"), "git took it for the renamed demo.sql"


@pytest.mark.parametrize("begun", [False, True], ids=["loc fork merge", "after git merge"])
def test_a_later_version_merges_and_the_demonstration_stays_away(
    upstream: Fork, fork: Fork, begun: bool
):
    go_on(upstream)
    fork.git("fetch", "--quiet", "upstream")
    if begun:
        fork.git("merge", "upstream/main", check=False)
    merged = merge.merge(root=fork.root)
    assert merged.commit == upstream.git("rev-parse", "main").strip()
    assert set(merged.kept_out) >= {"dbt/models/marts/later.sql", "pipelines/demo/more.py"}
    assert "README.md" in merged.kept
    assert fork.git("status", "--porcelain") == ""
    tracked = set(fork.git("ls-files").split())
    assert tracked == {
        *(".github/workflows/ci.yml", ".pc_env", "dbt/dbt_project.yml", "proto_loc/LICENSE"),
        *("LICENSE", "README.md", "demonstration.toml", "docs/new.md", "fork.toml"),
        *("dbt/models/mine.sql", "notebooks/start_here.ipynb", "pipelines/__init__.py"),
        *("pipelines/mine/__init__.py", "proto_loc/core.py", "superset/roles.yaml"),
        "superset/bundle/dashboards/start_here.yaml",
    }
    assert fork.read("proto_loc/core.py") == "VERSION = 2\n"
    assert fork.read("README.md") == "# Mine\n" and fork.read("superset/roles.yaml") == "{}\n"
    assert fork.read("dbt/models/mine.sql") == MODEL.replace("column_3 ", "own_3 ")
    assert fork_file.read(fork.root / "fork.toml").upstream == merged.commit
    assert len(fork.git("log", "--format=%P", "-1").split()) == 2
    assert merge.merge(root=fork.root).commit == "", "a second time there is nothing to merge"


def test_a_second_later_version_merges_too(upstream: Fork, fork: Fork):
    for version in (2, 3):
        upstream.write("proto_loc/core.py", f"VERSION = {version}\n")
        upstream.write("dbt/models/demo.sql", f"select {version} as one\n")
        upstream.write(f"dbt/models/demo_{version}.sql", "select 1 as one\n")
        upstream.commit(f"version {version}")
        fork.git("fetch", "--quiet", "upstream")
        merge.merge(root=fork.root)
    assert fork.read("proto_loc/core.py") == "VERSION = 3\n"
    assert "demo" not in fork.git("ls-files", "dbt", "pipelines")


def test_a_conflict_in_the_platform_waits_for_a_person(upstream: Fork, fork: Fork):
    go_on(upstream)
    fork.write("proto_loc/core.py", "VERSION = 1.5\n")
    fork.commit("a change of the platform, which a fork should not make")
    fork.git("fetch", "--quiet", "upstream")
    with pytest.raises(merge.Conflicts, match=r"proto_loc/core\.py"):
        merge.merge(root=fork.root)
    assert fork.git("diff", "--name-only", "--diff-filter=U").split() == ["proto_loc/core.py"]
    fork.write("proto_loc/core.py", "VERSION = 2.5\n")
    fork.git("add", "proto_loc/core.py")
    assert merge.merge(root=fork.root).commit
    assert fork.read("proto_loc/core.py") == "VERSION = 2.5\n"


def test_what_a_person_adds_during_a_conflict_is_kept(upstream: Fork, fork: Fork):
    """After `git add --all`, new and changed files of the fork are staged beside the resolution."""
    go_on(upstream)
    fork.write("proto_loc/core.py", "VERSION = 1.5\n")
    fork.commit("a change of the platform, which a fork should not make")
    fork.git("fetch", "--quiet", "upstream")
    with pytest.raises(merge.Conflicts, match="loc fork merge upstream/HEAD` again"):
        merge.merge(root=fork.root)
    own = {
        "dbt/models/new.sql": "select 5 as five\n",
        "pipelines/new/__init__.py": "SOURCE = 5\n",
        "dbt/models/mine.sql": "select 6 as six\n",
        "README.md": "# Mine, later\n",
        "proto_loc/core.py": "VERSION = 2.5\n",
    }
    for name, text in own.items():
        fork.write(name, text)
    fork.git("add", "--all")
    merged = merge.merge(root=fork.root)
    assert {name: fork.git("show", f"HEAD:{name}") for name in own} == own
    assert not own.keys() & {*merged.kept, *merged.kept_out}
    assert fork.git("status", "--porcelain") == "" and "demo" not in fork.git("ls-files", "dbt")


def test_a_pending_merge_of_something_else_is_not_taken_for_the_platforms(
    upstream: Fork, fork: Fork
):
    fork.git("switch", "--quiet", "--create", "topic")
    fork.write("dbt/models/topic.sql", "select 1 as one\n")
    fork.commit("a model")
    fork.git("switch", "--quiet", "main")
    fork.git("merge", "--quiet", "--no-commit", "--no-ff", "topic")
    with pytest.raises(UsageError, match="Another merge is pending"):
        merge.merge(root=fork.root)
    assert fork.git("diff", "--cached", "--name-only") == "dbt/models/topic.sql\n"


def test_a_fork_with_the_demonstration_gets_its_changes(upstream: Fork, tmp_path: Path):
    fork = Fork(tmp_path / "other")
    fork.git("clone", "--quiet", str(upstream.root), ".")
    fork.git("config", "user.name", "test")
    fork.git("config", "user.email", "test@example.org")
    fork.write("dbt/models/mine.sql", "select 1 as one\n")
    fork.commit("mine")
    go_on(upstream)
    fork.git("fetch", "--quiet", "origin")
    assert merge.merge("origin/main", root=fork.root).kept_out == ()
    assert "changed_9" in fork.read("dbt/models/demo.sql")
    assert "later" in fork.read("README.md"), "a README that nobody changed is the platform's"


def test_a_fork_from_the_template_finds_its_place_in_the_history(upstream: Fork, tmp_path: Path):
    """`nix flake init` copies files without history."""
    fork = Fork(tmp_path / "template")
    shutil.copytree(
        upstream.root, fork.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git")
    )
    fork.git("init", "--quiet")
    fork.git("config", "user.name", "test")
    fork.git("config", "user.email", "test@example.org")
    fork.commit("from the template")
    removal.remove(removal.plan(fork.root), root=fork.root)
    removal.finish(root=fork.root)
    fork.commit("without the demonstration")
    go_on(upstream)
    fork.git("remote", "add", "upstream", str(upstream.root))
    fork.git("fetch", "--quiet", "upstream")
    merge.merge(root=fork.root)
    assert fork.read("proto_loc/core.py") == "VERSION = 2\n"
    assert "demo" not in fork.git("ls-files", "dbt", "pipelines")


def test_what_cannot_be_merged_is_refused_and_nothing_changes(upstream: Fork, fork: Fork):
    fork.write("README.md", "# Not committed\n")
    with pytest.raises(UsageError, match=r"README\.md"):
        merge.merge("upstream/main", root=fork.root)
    fork.commit("now it is")
    with pytest.raises(UsageError, match="no commit 'nowhere'"):
        merge.merge("nowhere", root=fork.root)
    upstream.write("proto_loc/new.py", "NEW = 1\n")
    upstream.commit("a new file")
    fork.git("fetch", "--quiet", "upstream")
    fork.write("proto_loc/new.py", "untracked\n")
    with pytest.raises(LocError, match=r"proto_loc/new\.py"):
        merge.merge(root=fork.root)
    assert fork.read("proto_loc/new.py") == "untracked\n" and not fork.git("diff", "HEAD")


@pytest.mark.xdist_group("platform")
def test_this_repository_merges_into_a_shop_without_the_demonstration(tmp_path: Path):
    """Both histories are made from the files of this repository."""
    clone = copy_repository(tmp_path / "upstream", "1")
    upstream, fork = Fork(clone.folder), Fork(tmp_path / "fork")
    fork.git("clone", "--quiet", "--origin", "upstream", str(upstream.root), ".")
    fork.git("config", "user.name", "test")
    fork.git("config", "user.email", "test@example.org")
    planned = removal.plan(fork.root)
    removal.remove(planned, root=fork.root)
    removal.finish(root=fork.root)
    shutil.copytree(SHOP, fork.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("files"))
    fork.commit("a shop")
    before = set(fork.git("ls-files").splitlines())
    for name in (*planned.files, "proto_loc/errors.py", "docs/README.md", "process-compose.yaml"):
        upstream.write(name, upstream.read(name) + "\n")
    branch = upstream.git("branch", "--show-current").strip()
    upstream.write("dbt/models/marts/new_mart.sql", "select 1 as one\n")
    upstream.commit("every file of the demonstration changes")
    fork.git("fetch", "--quiet", "upstream")
    merged = merge.merge(f"upstream/{branch}", root=fork.root)
    assert "dbt/models/marts/new_mart.sql" in merged.kept_out
    assert set(fork.git("ls-files").splitlines()) == before
    assert fork.read("proto_loc/errors.py") == upstream.read("proto_loc/errors.py")
    assert not fork.git("diff", f"upstream/{branch}", "--", "proto_loc", "docs", "locks")
