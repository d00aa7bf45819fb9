"""The demonstration is told apart from what a person has added or changed."""

import pytest
from repositories import Fork

from proto_loc import settings
from proto_loc.cli import demo
from proto_loc.errors import UsageError
from proto_loc.fork import removal


def test_what_came_goes_and_what_a_person_added_or_changed_is_named(fork: Fork):
    fork.write("dbt/models/mine.sql", "select 1 as one")
    fork.write("notebooks/demo.ipynb", "{1}")
    fork.commit("mine")
    fork.write("dbt/models/demo.sql", "select 3 as three")
    planned = removal.plan(fork.root)
    assert planned.files == ("dbt/seeds/demo.csv", "pipelines/demo/__init__.py")
    assert planned.changed == ("dbt/models/demo.sql", "notebooks/demo.ipynb")
    assert planned.own == ("dbt/models/mine.sql",)
    assert planned.sources == ("demo",)
    assert "the first commit" in planned.base


def test_what_is_compared_is_the_recorded_commit_or_the_remote_s_branch(fork: Fork, tmp_path):
    came = fork.git("rev-parse", "HEAD").strip()
    fork.write("dbt/seeds/demo.csv", "a\n9\n")
    fork.commit("changed, and the first commit is no longer what came")
    clone = Fork(tmp_path / "clone")
    clone.git("clone", "--quiet", str(fork.root), ".")
    planned = removal.plan(clone.root)
    assert planned.changed == () and "origin/HEAD" in planned.base
    removal.write_entries(clone.root / "fork.toml", upstream=came)
    planned = removal.plan(clone.root)
    assert planned.changed == ("dbt/seeds/demo.csv",) and "recorded in fork.toml" in planned.base


def test_pushed_work_of_somebody_else_is_not_taken_for_the_demonstration(
    fork: Fork, tmp_path, monkeypatch
):
    fork.write("dbt/models/demo.sql", "select 7 as seven")
    fork.commit("the platform's own last word on its demonstration")
    assert plan_of_clone(fork, tmp_path / "one").pushed == (), "its author made proto_loc/ too"
    fork.write("dbt/models/mine.sql", "select 1 as one")
    fork.git("add", "--all")
    fork.git("commit", "--quiet", "--author", "Ann <ann@example.org>", "--message", "mine")
    mine = fork.git("rev-parse", "HEAD").strip()
    planned = plan_of_clone(fork, tmp_path / "two")
    assert planned.pushed == (mine,) and "dbt/models/mine.sql" in planned.files
    monkeypatch.setattr(removal, "check_present", lambda: None)
    monkeypatch.setattr(removal, "plan", lambda base: planned)
    monkeypatch.setattr(demo, "_show", lambda *_: None)
    with pytest.raises(UsageError, match=f"--base {mine[:9]}~"):
        demo.take_away(yes=True, changed="keep")


def plan_of_clone(fork: Fork, folder) -> removal.Plan:
    clone = Fork(folder)
    clone.git("clone", "--quiet", str(fork.root), ".")
    return removal.plan(clone.root)


def test_the_commit_that_a_person_names_is_compared(fork: Fork, tmp_path):
    fork.write("dbt/models/mine.sql", "select 1 as one")
    fork.git("add", "--all")
    fork.git("commit", "--quiet", "--author", "Ann <ann@example.org>", "--message", "mine")
    clone = Fork(tmp_path / "clone")
    clone.git("clone", "--quiet", str(fork.root), ".")
    planned = removal.plan(clone.root, "HEAD~")
    assert planned.own == ("dbt/models/mine.sql",) and not planned.pushed
    with pytest.raises(UsageError, match="no commit 'nowhere'"):
        removal.plan(clone.root, "nowhere")


def test_roles_that_a_person_has_changed_are_named_and_can_stay(fork: Fork):
    """superset/roles.yaml is there afterwards too, with a text of its own."""
    assert "superset/roles.yaml" not in removal.plan(fork.root).changed
    roles = "Till: {places: [Lyon]}\n"
    fork.write("superset/roles.yaml", roles)
    fork.commit("roles of my own")
    planned = removal.plan(fork.root)
    assert planned.changed == ("superset/roles.yaml",)
    assert "superset/roles.yaml" not in removal.remove(planned, planned.changed, root=fork.root)
    assert fork.read("superset/roles.yaml") == roles
    assert "superset/roles.yaml" in removal.remove(removal.plan(fork.root), root=fork.root)
    assert fork.read("superset/roles.yaml") == "{}\n"


def test_a_file_of_a_tool_that_uses_what_goes_is_named(fork: Fork):
    chart, dashboard = "superset/bundle/charts/trips.yaml", "superset/bundle/dashboards/mine.yaml"
    cube, view = "cube/model/generated/rides.yml", "cube/model/mine.yml"
    fork.write(chart, "slice_name: Trips\nuuid: d7e35508-1bca\ndataset_uuid: 471d37dd-652e\n")
    fork.write(dashboard, "uuid: 1-2\nposition: {A: {meta: {uuid: d7e35508-1bca}}}\n")
    fork.write(cube, "cubes:\n  - name: rides\n    dimensions:\n      - name: day\n")
    fork.write(view, "views:\n  - name: v\n    cubes: [{join_path: rides, includes: [day]}]\n")
    fork.write("cube/model/other.yml", "cubes:\n  - name: brides # by day\n")
    own = (dashboard, view, "cube/model/other.yml")
    planned = removal.Plan(None, "", (chart,), (cube,), own, ())
    assert removal.broken(planned, root=fork.root) == {dashboard: chart, view: cube}
    assert removal.broken(planned, (cube,), root=fork.root) == {dashboard: chart}


def test_a_folder_without_git_is_refused(tmp_path):
    with pytest.raises(UsageError, match="git init"):
        removal.plan(tmp_path)


def test_entries_are_written_and_the_rest_of_the_file_stays(tmp_path):
    path = tmp_path / "fork.toml"
    path.write_text('# mine\nname = "shop"  # why\n\n[schedules]  # none yet\n')
    removal.write_entries(path, name="store", upstream="abc", demonstration=False)
    text = path.read_text()
    assert 'name = "store"  # why' in text and text.endswith("[schedules]  # none yet\n")
    assert removal.fork_file.read(path) == removal.fork_file.Fork("store", (), "abc", False)


def test_metrics_that_stay_keep_a_time_spine(fork: Fork, monkeypatch):
    """The demonstration's was the only one, so a source beside it stopped the removal."""
    monkeypatch.setattr(settings, "ROOT", fork.root)
    spine = "dbt/models/marts/time_spine_daily.yml"
    fork.write("dbt/models/marts/dim_dates.yml", "models:\n  - time_spine: {}\n")
    fork.write("dbt/models/marts/mine.yml", "semantic_models:\n  - name: mine\n")
    with demo._time_spine(set()) as names:
        assert names == []
    with pytest.raises(RuntimeError), demo._time_spine({"dbt/models/marts/dim_dates.yml"}):
        raise RuntimeError
    assert not (fork.root / spine).exists()
    with demo._time_spine({"dbt/models/marts/dim_dates.yml"}) as names:
        assert spine in names
    assert "time_spine:" in (fork.root / spine).read_text()
