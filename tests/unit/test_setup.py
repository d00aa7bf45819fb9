"""Tests of the launcher ``loc`` in fresh and broken clones and unusual environments."""

import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden
from proto_loc.setup.locks import entries, sealed

SMALL = (
    "annotated-doc",
    "annotated-types",
    "click",
    "markdown-it-py",
    "mdurl",
    "pydantic",
    "pydantic-core",
    "pygments",
    "rich",
    "shellingham",
    "typer",
    "typing-extensions",
    "typing-inspection",
)
FILES = (
    "loc",
    "golden.toml",
    "pyproject.toml",
    "locks/uv.txt",
    "locks/build.txt",
    "proto_loc/__init__.py",
    "proto_loc/dotenv.py",
    "proto_loc/errors.py",
    "proto_loc/files.py",
    "proto_loc/run_id.py",
    "proto_loc/settings.py",
    "proto_loc/setup/environments.py",
    "proto_loc/setup/node.py",
    "proto_loc/setup/programs.py",
    "proto_loc/setup/settle.py",
    "proto_loc/cli/__init__.py",
    "proto_loc/cli/__main__.py",
    "proto_loc/cli/setup.py",
)
TOOLS = (
    "bash",
    "sh",
    "cat",
    "cksum",
    "dirname",
    "env",
    "flock",
    "git",
    "head",
    "mkdir",
    "mktemp",
    "mv",
    "perl",
    "readlink",
    "rm",
    "sed",
    "seq",
    "sleep",
    "touch",
    "uname",
)
STRANGE = {
    "PYTHONHOME": "/nonexistent",
    "VIRTUAL_ENV": "/nonexistent",
    "CONDA_PREFIX": "/nonexistent",
    "CDPATH": "/",
    "UV_PYTHON": "3.9",
    "UV_SYSTEM_PYTHON": "1",
    "UV_NO_BINARY": "1",
    "UV_TARGET": "/nonexistent",
    "UV_PROJECT": "/nonexistent",
    "UV_EXCLUDE_NEWER": "2001-01-01",
    "PIP_TARGET": "/nonexistent",
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
}
UV = f".tools/uv-{golden()['tools']['uv']}"
PATH = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "uv").exists()
)
KEPT = ("HOME", "LANG", "TMPDIR", "UV_CACHE_DIR")
REACH = ("INDEX", "CERT", "PROXY", "KEYRING", "TRUSTED", "FIND_LINKS")
pytestmark = pytest.mark.usefixtures("registry")


def environment(**more: str) -> dict[str, str]:
    """Return a plain environment without uv on PATH.

    It can still reach the package registry, as this machine can.
    """
    kept = [
        name for name in os.environ if name in KEPT or any(word in name.upper() for word in REACH)
    ]
    return {name: os.environ[name] for name in kept} | {"PATH": PATH} | more


def loc(clone: Path, *arguments: str, **more) -> subprocess.CompletedProcess:
    more.setdefault("env", environment())
    return subprocess.run(
        [clone / "loc", *arguments], capture_output=True, text=True, timeout=240, **more
    )


def copy(folder: Path) -> Path:
    """Make a clone in which ``platform`` has only the packages that the command line needs.

    So set-up takes seconds.
    """
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    locked = entries((ROOT / "locks/platform.txt").read_text())
    body = "--only-binary :all:\n" + "".join(locked[name] for name in SMALL)
    (folder / "locks/platform.txt").write_text(sealed(body))
    return folder


@pytest.fixture(scope="session")
def fetched(tmp_path_factory, registry) -> Path:
    """A clone that has downloaded uv itself, from PyPI."""
    clone = copy(tmp_path_factory.mktemp("first") / "a clone")
    done = loc(clone, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "proto_loc"), done.stderr
    return clone


@pytest.fixture
def clone(fetched: Path, tmp_path: Path) -> Path:
    """A fresh clone in a path with a space, which need not download uv again."""
    clone = copy(tmp_path / "a clone")
    (clone / ".tools").mkdir()
    os.link(fetched / UV, clone / UV)
    return clone


@pytest.fixture
def slow_uv(clone: Path):
    """Stops uv before it installs, until the file ``go`` exists beside it."""
    real, go = clone / ".tools/real-uv", clone / ".tools/go"
    (clone / UV).rename(real)
    (clone / UV).write_text(f"""#!/bin/sh
case "$*" in *locks/platform.txt*)
  touch "{go}.reached"
  for i in $(seq 600); do [ -e "{go}" ] && break; sleep 0.1; done ;;
esac
exec "{real}" "$@"
""")
    (clone / UV).chmod(0o755)
    return go


def start(clone: Path, **more) -> subprocess.Popen:
    more.setdefault("env", environment())
    return subprocess.Popen(
        [clone / "loc", "--version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def tools_without(folder: Path, *hidden: str) -> str:
    """Return a PATH with this machine's tools, without the hidden ones."""
    folder.mkdir()
    for tool in TOOLS:
        if tool not in hidden and (found := shutil.which(tool)):
            (folder / tool).symlink_to(found)
    if "python3" not in hidden:
        (folder / "python3").symlink_to(Path(sys.base_prefix, "bin/python3.11"))
    return str(folder)


def test_second_start_does_no_work(fetched: Path):
    stamp = fetched / ".venvs/platform/.stamp"
    before = stamp.stat().st_mtime_ns
    done = loc(fetched, "--version", env=environment(UV_OFFLINE="1"))
    assert (done.returncode, done.stderr, stamp.stat().st_mtime_ns) == (0, "", before)


def test_a_changed_lock_is_installed(clone: Path):
    loc(clone, "--version")
    lock = clone / "locks/platform.txt"
    lock.write_text(lock.read_text() + entries((ROOT / "locks/platform.txt").read_text())["pytz"])
    done = loc(clone, "--version")
    assert done.returncode == 0 and "setting up" in done.stderr
    assert list(clone.glob(".venvs/platform/lib/python3.11/site-packages/pytz"))


def test_notebooks_are_installed_with_bytecode(clone: Path):
    """Bug: the first `loc ask` compiled LiteLLM's thousands of modules.

    If nothing could be written, each `loc ask` did so.
    """
    shutil.copy(clone / "locks/platform.txt", clone / "locks/notebooks.txt")
    done = loc(clone, "--sync", "notebooks", env=environment(PYTHONDONTWRITEBYTECODE="1"))
    assert done.returncode == 0, done.stderr
    assert list(clone.glob(".venvs/notebooks/lib/python3.11/site-packages/typer/__pycache__/*.pyc"))


def test_symlink_and_foreign_folder(fetched: Path, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/second").symlink_to(fetched / "loc")
    (tmp_path / "bin/first").symlink_to("second")
    (tmp_path / "typer.py").write_text("raise SystemExit('the folder of the user was imported')")
    done = subprocess.run(
        ["bin/first", "--version"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "way",
    [
        "only venv",
        pytest.param("old uv", marks=pytest.mark.slow),
        pytest.param("uv of the series", marks=pytest.mark.slow),
    ],
)
def test_ways_to_uv(fetched: Path, tmp_path: Path, way: str):
    """Without pip, or with another uv, or with a uv of the golden series: the golden series is
    used.
    """
    clone, tools = copy(tmp_path / "a clone"), Path(tools_without(tmp_path / "bin", "python3"))
    real = Path(sys.base_prefix, "bin/python3.11")
    if way == "only venv":
        scripts = {"python3": f'[ "$2" != pip ] || exit 1\nexec "{real}" "$@"'}
    else:
        told = "0.4.1" if way == "old uv" else UV.partition("-")[2] + "+local"
        scripts = {
            "uv": f'[ "$1" != --version ] || {{ echo "uv {told}"; exit; }}\n'
            f'exec "{fetched / UV}" "$@"',
            "python3.11": f'[ "$2" != pip ] && [ "$2" != venv ] || exit 1\nexec "{real}" "$@"',
        }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    done = loc(clone, "--version", env=environment(PATH=str(tools)))
    assert done.returncode == 0, done.stderr
    assert (clone / UV).exists() == (way != "uv of the series")


def imported(clone: Path, name: str, folder: Path) -> Path:
    """Return the path from which an environment imports proto_loc.

    The current folder is another one, and no environment variable helps.
    """
    command = [
        clone / ".venvs" / name / "bin/python",
        "-c",
        "import proto_loc; print(proto_loc.__file__)",
    ]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_moved_clone_sets_up_again(clone: Path, tmp_path: Path):
    loc(clone, "--version")
    moved = clone.rename(tmp_path / "moved")
    done = loc(moved, "--version")
    assert done.returncode == 0 and "setting up" in done.stderr
    assert imported(moved, "platform", tmp_path) == moved / "proto_loc/__init__.py"


def test_an_environment_knows_its_clone_also_one_that_was_set_up_before(
    clone: Path, tmp_path: Path
):
    """Bug: `import proto_loc` worked only in the root of the clone, not in VS Code or nbconvert."""
    shutil.copy(clone / "locks/platform.txt", clone / "locks/notebooks.txt")
    shutil.copytree(ROOT / "proto_loc/jupyter/environment", clone / "proto_loc/jupyter/environment")
    assert loc(clone, "--sync", "notebooks").returncode == 0
    (told,) = clone.glob(".venvs/notebooks/lib/python3.11/site-packages/loc-clone.pth")
    for again in (False, True):
        if again:
            told.unlink()
            shutil.rmtree(clone / ".venvs/notebooks/etc")
        before = told.stat().st_mtime_ns if told.exists() else None
        done = loc(clone, "--sync", "notebooks", env=environment(UV_OFFLINE="1"))
        assert (done.returncode, done.stderr) == (0, "")
        assert before in (None, told.stat().st_mtime_ns)
        assert imported(clone, "notebooks", tmp_path) == clone / "proto_loc/__init__.py"
        for file in ("ipython/ipython_config.json", "jupyter/jupyter_nbconvert_config.json"):
            assert (clone / ".venvs/notebooks/etc" / file).read_text().startswith("{")


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_path_with_other_letters_is_read_under_every_locale(
    clone: Path, tmp_path: Path, locale: str
):
    """Bug: no Python started, since the file that names the clone was not ASCII."""
    clone = clone.rename(tmp_path / "daten für ärzte")
    env = environment(LC_ALL=locale)
    assert loc(clone, "--version", env=env).returncode == 0
    (named,) = clone.glob(".venvs/platform/lib/python3.11/site-packages/loc-clone.pth")
    named.write_text(f"{clone}\n", encoding="utf-8")
    assert loc(clone, "--version", env=env).returncode == 0
    python = [clone / ".venvs/platform/bin/python", "-I", "-c", "import proto_loc, sys"]
    done = subprocess.run(python, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", [["sh"], ["dash"], ["bash", "--posix"]], ids=" ".join)
def test_any_shell_runs_the_launcher(fetched: Path, shell: list[str]):
    """Bug: `sh loc` ended with "Illegal option -o pipefail"."""
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    command = [*shell, "loc", "--version"]
    done = subprocess.run(command, cwd=fetched, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("proto_loc ")


def test_vanished_interpreter_sets_up_again(clone: Path):
    loc(clone, "--version")
    python = clone / ".venvs/platform/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    done = loc(clone, "--version")
    assert done.returncode == 0 and "setting up" in done.stderr


def test_killed_set_up_recovers(clone: Path, slow_uv: Path):
    killed = start(clone)
    wait_for(Path(f"{slow_uv}.reached"))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (clone / ".venvs/platform/.stamp").exists()
    slow_uv.touch()
    done = loc(clone, "--version")
    assert done.returncode == 0, done.stderr


def test_orphan_of_a_killed_launcher_is_waited_for(clone: Path, slow_uv: Path):
    killed = start(clone)
    wait_for(Path(f"{slow_uv}.reached"))
    launcher = psutil.Process(killed.pid)
    for process in [launcher, *launcher.children(recursive=True)]:
        if process.name() in ("loc", "bash"):
            process.kill()
    second = start(clone)
    time.sleep(1)
    assert second.poll() is None
    slow_uv.touch()
    out, said = second.communicate(timeout=120)
    killed.communicate()
    assert second.returncode == 0 and "waiting" in said and out.startswith("proto_loc")


@pytest.mark.parametrize("hidden", ["", pytest.param("flock", marks=pytest.mark.slow)])
def test_two_starts_at_once(clone: Path, slow_uv: Path, tmp_path: Path, hidden: str):
    env = environment(PATH=tools_without(tmp_path / "bin", hidden)) if hidden else environment()
    first = start(clone, env=env)
    wait_for(Path(f"{slow_uv}.reached"))
    second = start(clone, env=env)
    time.sleep(1)
    slow_uv.touch()
    _, first_said = first.communicate(timeout=120)
    _, second_said = second.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (0, 0), first_said + second_said
    assert (
        "setting up" in first_said
        and "waiting" in second_said
        and "loc: setting up" not in second_said
    )


def test_no_python_311_is_explained(clone: Path, tmp_path: Path):
    env = environment(
        PATH=tools_without(tmp_path / "bin", "python3"),
        UV_PYTHON_INSTALL_DIR=str(tmp_path / "no"),
        UV_PYTHON_INSTALL_MIRROR="http://127.0.0.1:9",
        UV_HTTP_RETRIES="0",
    )
    done = loc(clone, "--version", env=env)
    assert done.returncode == 1
    assert (
        "no Python 3.11 here" in done.stderr
        and "from GitHub (python-build-standalone). uv said:\n" in done.stderr
    )
    assert "fix: Install Python 3.11, or set UV_PYTHON_INSTALL_MIRROR" in done.stderr


@pytest.mark.parametrize("hidden", [("flock", "perl"), ("sed", "cksum")])
def test_missing_programs_are_named(clone: Path, tmp_path: Path, hidden: tuple[str, ...]):
    """Bug: without flock and perl, as in a pure Nix shell, loc waited for a process "" in vain."""
    done = loc(clone, "--version", env=environment(PATH=tools_without(tmp_path / "bin", *hidden)))
    missing = "flock (or perl)" if "flock" in hidden else "cksum sed"
    line = f"error: Set-up needs programs that are not on PATH: {missing}.\n"
    assert done.returncode == 1 and done.stderr.startswith(line)
    assert "the Nix shell, which has all of it: nix develop" in done.stderr


@pytest.mark.parametrize("asked", ["gone", "no Python"])
def test_a_wrong_loc_python_leaves_the_environment_as_it_was(
    clone: Path, tmp_path: Path, asked: str
):
    loc(clone, "--version")
    stamp = (clone / ".venvs/platform/.stamp").read_bytes()
    python = tmp_path / "python3.11"
    if asked == "no Python":
        python.write_text("#!/bin/sh\necho Python 2.7\n")
        python.chmod(0o755)
    done = loc(clone, "--version", env=environment(LOC_PYTHON=str(python)))
    assert done.returncode == 1
    assert (
        "fix: Unset LOC_PYTHON, set it to a Python 3.11, or enter the Nix shell again."
        in done.stderr
    )
    assert (clone / ".venvs/platform/.stamp").read_bytes() == stamp
    done = loc(clone, "--version", env=environment(UV_OFFLINE="1"))
    assert (done.returncode, done.stderr) == (0, ""), "no registry is needed"


def test_a_set_up_that_fails_leaves_the_environment_as_it_was(clone: Path, tmp_path: Path):
    loc(clone, "--version")
    lock = clone / "locks/platform.txt"
    text = lock.read_text()
    lock.write_text(re.sub(r"--hash=sha256:[0-9a-f]+", "--hash=sha256:" + "0" * 64, text))
    done = loc(clone, "--version", env=environment(UV_CACHE_DIR=str(tmp_path / "cache")))
    assert done.returncode == 1 and "LOC_PYTHON" in done.stderr and "registry" in done.stderr
    lock.write_text(text)
    done = loc(clone, "--version", env=environment(UV_OFFLINE="1"))
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (clone / ".venvs").iterdir() if path.is_dir()] == ["platform"]


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param(False, id="proc"),
        pytest.param(True, id="ps", marks=pytest.mark.slow),
    ],
)
def test_an_environment_is_not_replaced_under_a_process_that_runs_on_it(clone: Path, hidden: bool):
    """The process may be a service of a running stack.

    On a system without /proc, such as macOS, the launcher runs ps.
    """
    loc(clone, "--version")
    launcher = clone / "loc"
    if hidden:
        launcher.write_text(launcher.read_text().replace("/proc/self/cmdline", "/nonexistent"))
    stamp = clone / ".venvs/platform/.stamp"
    before = stamp.stat().st_mtime_ns
    with subprocess.Popen(
        [clone / ".venvs/platform/bin/python", "-c", "input()"], stdin=subprocess.PIPE
    ) as service:
        done = loc(clone, "--version", env=environment(LOC_LIBRARY_PATH="/else"))
        after = stamp.stat().st_mtime_ns
        stamp.unlink()
        without = loc(clone, "--version")
        service.communicate(b"\n")
    assert (done.returncode, after) == (0, before)
    assert "which stays as it is" in without.stderr, "the stamp was removed by hand"
    assert (
        f"loc: process {service.pid} runs on .venvs/platform, which stays as it is" in done.stderr
    )
    assert "setting up" in loc(clone, "--version", env=environment(LOC_LIBRARY_PATH="/else")).stderr


def test_fetches_of_uv_at_once_are_one(tmp_path: Path):
    clone = copy(tmp_path / "a clone")
    command = [clone / "loc", "--uv", "--version"]
    started = [
        subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True)
        for _ in range(4)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [(out, code) for out, _, code in ended] == [(ended[0][0], 0)] * 4, ended
    assert "".join(said for _, said, _ in ended).count("fetching uv") == 1


def test_uv_is_the_one_of_its_lock_where_golden_toml_is_ahead(clone: Path):
    """``loc lock`` has not locked the new uv yet.

    The old uv must not get the new one's name.
    """
    path = clone / "golden.toml"
    path.write_text(re.sub(r'^uv = ".*?"', 'uv = "0.99.9"', path.read_text(), flags=re.MULTILINE))
    assert loc(clone, "--uv", "--version").stdout.split()[:2] == [
        "uv",
        UV.removeprefix(".tools/uv-"),
    ]
    assert not (clone / ".tools/uv-0.99.9").exists()


@pytest.mark.parametrize("name, refused", [("platform", False), ("superset", True)])
def test_a_mac_with_an_intel_processor_is_told_what_it_cannot_have(
    clone: Path, tmp_path: Path, name: str, refused: bool
):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uname").write_text("#!/bin/sh\necho Darwin x86_64\n")
    (tmp_path / "bin/uname").chmod(0o755)
    shutil.copy(ROOT / "locks/superset.txt", clone / "locks")
    done = loc(clone, "--sync", name, env=environment(PATH=f"{tmp_path}/bin:{PATH}"))
    assert ("cannot be installed on a Mac with an Intel processor" in done.stderr) == refused
    assert done.returncode == int(refused)


@pytest.mark.parametrize(
    "lock",
    [
        "uv",
        pytest.param("platform", marks=pytest.mark.slow),
        pytest.param("build", marks=pytest.mark.slow),
    ],
)
def test_wrong_hash_is_refused(clone: Path, tmp_path: Path, lock: str):
    path = clone / f"locks/{lock}.txt"
    path.write_text(
        re.sub(r"--hash=sha256:[0-9a-f]+", "--hash=sha256:" + "0" * 64, path.read_text())
    )
    if lock == "uv":
        (clone / UV).unlink()
    done = loc(clone, "--version", env=environment(UV_CACHE_DIR=str(tmp_path / "cache")))
    assert done.returncode == 1 and "hash" in done.stderr.lower() and "fix: " in done.stderr
    assert (clone / UV).exists() == (lock != "uv")
    assert not (clone / ".venvs/platform/.stamp").exists()


@pytest.fixture
def mirror():
    """A registry without packages, and the paths of its requests."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        server.shutdown()


@pytest.mark.parametrize(
    "how",
    [
        "UV_DEFAULT_INDEX",
        pytest.param("PIP_INDEX_URL", marks=pytest.mark.slow),
        pytest.param("pip.conf", marks=pytest.mark.slow),
        pytest.param("uv.toml", marks=pytest.mark.slow),
    ],
)
def test_mirror_is_asked(clone: Path, tmp_path: Path, mirror, how: str):
    url, asked = mirror
    env = {
        name: value for name, value in environment().items() if not name.startswith(("UV_", "PIP_"))
    }
    env |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    if how == "pip.conf":
        (tmp_path / how).write_text(f"[global]\nindex-url = {url}\n")
        env["PIP_CONFIG_FILE"] = str(tmp_path / how)
    elif how == "uv.toml":
        (tmp_path / "config/uv").mkdir(parents=True)
        (tmp_path / "config/uv/uv.toml").write_text(f'[[index]]\nurl = "{url}"\ndefault = true\n')
    else:
        env[how] = url
    done = loc(clone, "--version", env=env)
    assert done.returncode == 1
    assert any(path.startswith("/simple/") for path in asked), done.stderr


def test_strange_environment_changes_nothing(clone: Path, tmp_path: Path):
    (tmp_path / "typer.py").write_text("raise SystemExit('PYTHONPATH was used')")
    (clone / UV).unlink()
    done = loc(clone, "--version", env=environment(**STRANGE, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0, done.stderr


def test_read_only_clone_is_explained(fetched: Path):
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        clone = copy(Path(folder) / "a clone")
        for path in (Path(folder), clone):
            path.chmod(0o555)
        done = loc(clone, "--version", env=environment(HOME="/nonexistent"), **user)
        for path in (Path(folder), clone):
            path.chmod(0o755)
    assert (
        done.returncode == 1
        and f"Cannot write to {clone}/.venvs" in done.stderr
        and "fix: " in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "in_clone"),
    [
        ("XDG_CACHE_HOME", ["uv-cache"]),
        ("XDG_DATA_HOME", ["python"]),
        ("HOME", ["uv-cache", "python"]),
    ],
)
def test_a_relative_home_is_not_used(tmp_path: Path, name: str, in_clone: list[str]):
    """Bug: set-up searched the parents of a relative path without a slash for ever."""
    functions = re.search(
        r"^stay_here\(\).*?^}\ncan_make\(\).*?^}", (ROOT / "loc").read_text(), re.M | re.S
    )
    script = f"{functions[0]}\nroot=/clone; stay_here"
    script += '; echo "${UV_CACHE_DIR:-} ${UV_PYTHON_INSTALL_DIR:-}"'
    done = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": PATH, "HOME": str(tmp_path), name: "nowhere"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout.split() == [f"/clone/.tools/{folder}" for folder in in_clone], done.stderr


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_without_a_writable_home_the_cache_is_in_the_clone(clone: Path, tmp_path: Path):
    """Bug: uv could not make its cache, and the message said that there is no Python 3.11."""
    home = tmp_path / "home"
    home.mkdir()
    env = environment(HOME=str(home))
    env.pop("UV_CACHE_DIR", None)
    box = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", home, home]
    done = subprocess.run(
        [*box, clone / "loc", "--version"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (clone / ".tools/uv-cache/CACHEDIR.TAG").exists()


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_libraries_of_nix_are_lent_to_python_alone(clone: Path, tmp_path: Path):
    """The test hides the machine's libstdc++, as on NixOS, where a wheel does not find one by
    itself.
    """
    hidden, lent = [], tmp_path / "lent"
    lent.mkdir()
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        for path in re.findall(rf"{re.escape(name)} .* => (\S+)", listed):
            shutil.copy(path, lent / name)
            hidden += ["--ro-bind", "/dev/null", str(Path(path).resolve())]
    lock = clone / "locks/platform.txt"
    lock.write_text(lock.read_text() + entries((ROOT / "locks/platform.txt").read_text())["duckdb"])
    done = loc(clone, "--version", env=environment(LOC_LIBRARY_PATH=f"/nonexistent:{lent}"))
    assert done.returncode == 0, done.stderr

    python = clone / ".venvs/platform/bin/python"
    told = (
        "import duckdb, os; print(duckdb.sql('select 42').fetchone()[0],"
        " os.environ.get('LD_LIBRARY_PATH'))"
    )
    box = ["bwrap", "--dev-bind", "/", "/", *hidden, python, "-I", "-c", told]
    inside = subprocess.run(box, capture_output=True, text=True, env=environment())
    assert (inside.stdout, inside.stderr) == ("42 None\n", "")
    assert loc(clone, "--version").stderr == "", "without the variable, it stays as it is"
    assert "setting up" in loc(clone, "--version", env=environment(LOC_LIBRARY_PATH="/else")).stderr
    inside = subprocess.run(box, capture_output=True, text=True, env=environment())
    assert inside.returncode and "libstdc++" in inside.stderr


def test_uv_that_the_nix_shell_names_installs(clone: Path, tmp_path: Path):
    """This uv may be of any series; `loc lock` still uses the golden uv."""
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "uv 0.9.1"; exit; }}\necho "$1" >>{uv}.log\n'
        f'exec "{(clone / UV).rename(tmp_path / "real")}" "$@"\n'
    )
    uv.chmod(0o755)
    done = loc(clone, "--version", env=environment(LOC_UV=str(uv)))
    assert done.returncode == 0 and "venv" in Path(f"{uv}.log").read_text(), done.stderr
    assert not (clone / UV).exists()
    (tmp_path / "real").rename(clone / UV)
    assert loc(clone, "--uv", "--version", env=environment(LOC_UV=str(uv))).stdout.startswith(
        UV.replace(".tools/uv-", "uv ")
    )


def test_a_root_that_nix_does_not_make_is_tried_again_and_named_once(tmp_path: Path):
    """Bug: a failure at the second root was final, and one at the first repeated its warning."""
    clone, store, full = copy(tmp_path / "a clone"), tmp_path / "store", tmp_path / "full"
    venv, python = clone / ".venvs/platform", store / "a-python/bin/python"
    for program in (venv / "bin/python", python, tmp_path / "bin/nix-store"):
        program.parent.mkdir(parents=True)
        program.write_text(
            f'#!/bin/sh\necho "$2" >>"{tmp_path}/calls"\n'
            f'case $2 in *gcc*) [ ! -e "{full}" ] || exit 1 ;; esac\n'
            'mkdir -p "${4%/*}" && ln -s "$2" "$4"\n'
        )
        program.chmod(0o755)
    (store / "b-gcc").mkdir()
    locks = [f"locks/{name}.txt" for name in ("platform", "build", "uv")]
    sums = subprocess.check_output(["cksum", *locks], cwd=clone, text=True).splitlines()
    (venv / ".stamp").write_text(f"{' '.join(sums)} {clone}\n{python}\n{store}/b-gcc\n")
    env = environment(
        PATH=f"{tmp_path}/bin:{PATH}",
        NIX_STORE_DIR=str(store),
        LOC_PYTHON=str(python),
        LOC_LIBRARY_PATH=f"{store}/b-gcc",
    )
    full.touch()
    assert f"does not keep {store}/b-gcc:" in loc(clone, "--sync", "platform", env=env).stderr
    assert loc(clone, "--sync", "platform", env=env).stderr == ""
    full.unlink()
    for _ in range(2):
        assert loc(clone, "--sync", "platform", env=env).stderr == ""
    roots = {
        path.name: os.readlink(path) for path in (venv / ".nix").iterdir() if path.is_symlink()
    }
    assert roots == {"1": str(python), "2": f"{store}/b-gcc"}
    assert (tmp_path / "calls").read_text().split() == [str(python), *[f"{store}/b-gcc"] * 3]


def test_unknown_environment(fetched: Path):
    assert "There is no environment 'nope'" in loc(fetched, "--sync", "nope").stderr
    done = loc(fetched, "setup", "nope")
    assert done.returncode == 2 and "platform, superset" in done.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shell_scripts_are_clean():
    scripts = [ROOT / name for name in ("loc", ".ci/run", ".ci/release-notes", ".devcontainer/run")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
