"""Tests on a full disk: this file runs on a small tmpfs in a mount namespace.

At every point where the space may run out, the message names the disk and what to do, and readers
still get the published version. When there is space again, the next session succeeds and leaves no
files behind.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.taxi.load import load_sample
from proto_loc import warehouse
from proto_loc.compose import stack
from proto_loc.compose.client import Client
from proto_loc.dbt import publish
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import lake, store

SIZE = 64
"""Size of the disk in megabytes.

The published version takes more than a third of the disk, so there is room for one copy.
"""
PAGE = 4096


class Disk:
    """The small disk, and a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filler = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Fill the disk, except for ``leave`` bytes."""
        with self.filler.open("ab") as file, suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(PAGE))
        os.truncate(self.filler, max(self.filler.stat().st_size - leave, 0))

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)


def numbers(
    session: warehouse.Session, rows: int, how: str = "create or replace table numbers as"
) -> None:
    """Write random numbers: 16 bytes per row, which cannot be compressed."""
    with session.connect() as con:
        con.execute(f"{how} select hash(range) as a, hash(range, 1) as b from range({rows})")


def not_enough_for_the_copy(disk: Disk) -> None:
    disk.fill(leave=PAGE)
    with warehouse.write("prod", who="test"):
        raise AssertionError("the block was entered without room for the copy")


def gone_during_the_copy(disk: Disk) -> None:
    """The check finds enough room, and another process takes the room during the copy."""
    home = store.folder("prod")

    def rival() -> None:
        while not any(home.glob("staging/*/prod.duckdb")):
            pass
        # If this thread is too late, the copy has used the space already.
        with disk.filler.open("ab") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), disk.filler.stat().st_size, 4 << 20)

    for _ in range(50):
        disk.fill(leave=store.current("prod").bytes + 4 * PAGE)
        thread = threading.Thread(target=rival, daemon=True)
        thread.start()
        try:
            with warehouse.write("prod", who="test") as session:
                thread.join()
                session.discard()
        except warehouse.WarehouseError as error:
            assert error.what.startswith("Copying prod.duckdb"), error.what
            raise
        disk.free()


def gone_in_the_block(disk: Disk) -> None:
    with warehouse.write("prod", who="test") as session:
        numbers(session, 10_000_000)


def gone_at_the_commit(disk: Disk) -> None:
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("begin")
        con.execute("update numbers set b = 0 where a % 2 = 0")
        disk.fill()
        con.execute("insert into numbers select hash(range), hash(range, 1) from range(200_000)")
        con.execute("commit")


def gone_at_the_checkpoint(disk: Disk) -> None:
    with warehouse.write("prod", who="test") as session:
        with session.connect() as con:
            con.execute("pragma disable_checkpoint_on_shutdown")
            con.execute("insert into numbers select hash(range), hash(range, 1) from range(20_000)")
        disk.fill()


def gone_at_the_manifest(disk: Disk) -> None:
    with warehouse.write("prod", who="test") as session:
        numbers(session, 10)
        session.facts = {"filling": "x" * 20 * PAGE}
        disk.fill(leave=2 * PAGE)


def gone_in_a_load(disk: Disk) -> None:
    disk.fill(leave=2 << 20)
    load_sample(200_000, who="test", report=lambda *state: None)


def gone_under_dagster(disk: Disk) -> None:
    """Bug: Dagster cannot write on a full disk and answers 500; the message said "no answer"."""
    from proto_loc.dagster import client, instance

    instance.home().mkdir()  # Dagster's home exists, as it does in normal use
    disk.fill()
    raise client._full()


def gone_in_dbt(disk: Disk) -> None:
    disk.fill(leave=store.current("prod").bytes + (1 << 20))
    publish.publish(who="test", report=lambda *state: None)


SCENARIOS: dict[str, Callable[[Disk], None]] = {
    run.__name__: run
    for run in (
        not_enough_for_the_copy,
        gone_during_the_copy,
        gone_in_the_block,
        gone_at_the_commit,
        gone_at_the_checkpoint,
        gone_at_the_manifest,
        gone_in_a_load,
        gone_under_dagster,
        gone_in_dbt,
    )
}


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that runs a program in its own mount namespace."""
    why = "unshare is not installed"
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            done = subprocess.run(
                [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
            )
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
        why = done.stderr.strip()
    pytest.skip(f"no small disk can be mounted here: {why}")


ALWAYS = ("gone_in_dbt", "gone_in_a_load", "gone_at_the_commit")
"""The scenarios of every test run: in each of the three writers; the others run with ``--all``."""


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in SCENARIOS],
)
def test_full_disk_is_named_and_harms_nothing(
    scenario: str, namespace: list[str], data: Path
) -> None:
    disk = data.parent / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={SIZE}m tmpfs "$1" && exec "$2" "$3" "$4" "$1"'
    done = subprocess.run(
        [*namespace, "sh", "-c", mount, "sh", disk, sys.executable, __file__, scenario],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {
            "LOC_DATA": f"{disk}/data",
            "LOC_RUN": f"{disk}/run",
            "PYTHONPATH": str(ROOT),
            "LOC_KEEP_VERSIONS": "1",
            "LOC_GRACE": "0",
            "LOC_BIN_GRACE": "0",
        },
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def ext4(namespace: list[str], tmp_path: Path) -> Path:
    """An image of a small ext4 file system.

    Unlike tmpfs, ext4 needs a block for a folder and for the first byte of a file.
    """
    image = tmp_path / "ext4"
    with image.open("wb") as file:
        file.truncate(SIZE << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        subprocess.run(
            [*namespace, "mount", "-o", "loop", image, "/mnt"], check=True, capture_output=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no ext4 can be made and mounted here: {error}")
    return image


def test_prune_frees_a_disk_that_is_full_to_the_last_block(
    ext4: Path, namespace: list[str], data: Path
) -> None:
    """Every message about a full disk recommends this command."""
    disk = data.parent / "disk"
    disk.mkdir()
    script = """
set -e
mount -o loop "$1" "$2"
shift 2
"$1" -c "
from pipelines.taxi.load import load_sample
from proto_loc import warehouse
for seed in (1, 2, 3):
    load_sample(3000, seed, who='test', report=lambda *state: None)
    with warehouse.write('prod', who='test') as session, session.connect() as con:
        con.execute('create or replace table numbers as'
                    ' select hash(range, %d) as a from range(400_000)' % seed)
"
cat /dev/zero >"$LOC_DATA/filler" 2>/dev/null || true
"$1" -m proto_loc.cli db prune --grace 0 --keep 1
rm "$LOC_DATA/filler"
"$1" -m proto_loc.cli db list
"""
    done = subprocess.run(
        [*namespace, "bash", "-c", script, "bash", ext4, disk, sys.executable],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "LOC_DATA": str(disk),
            "LOC_RUN": str(data.parent / "run"),
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr
    assert "raw: removed 1, 2." in done.stdout and "prod: removed 1, 2." in done.stdout, done.stdout
    assert "lake: removed 12 files." in done.stdout, done.stdout


def no_inode(folder: Path) -> None:
    """Issue 7, item 21: the message was "no space (204 MB free)", but the disk lacked inodes."""
    with suppress(OSError):
        for number in range(1_000_000):
            (folder / f"filler-{number}").touch()
    with pytest.raises(warehouse.WarehouseError) as failed, warehouse.write("prod", who="test"):
        pass
    assert (
        f"the disk of {folder}/data" in failed.value.what
        and "can hold no more files" in failed.value.what
    )
    assert "Remove files" in failed.value.fix


def full_run_folder(folder: Path) -> None:
    """Issue 7, item 21: the message named the disk of LOC_DATA, which had free space."""
    load_sample(600, who="test", report=lambda *state: None)
    with pytest.raises(warehouse.WarehouseError) as failed:
        publish.publish(who="test", report=lambda *state: None)
    assert f"no space left on the disk of {settings().run}/" in failed.value.what, failed.value
    assert "set LOC_RUN to a folder on another disk" in failed.value.fix


@pytest.mark.parametrize(
    "case, options",
    [(no_inode, "size=64m,nr_inodes=400"), (full_run_folder, "size=2m")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_message_names_the_disk_that_is_full_and_what_it_lacks(
    case, options, namespace, data
) -> None:
    disk = data.parent / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o "$5" tmpfs "$1" && exec "$2" "$3" "$4" "$1"'
    own = case is no_inode
    done = subprocess.run(
        [
            *namespace,
            "sh",
            "-c",
            mount,
            "sh",
            disk,
            sys.executable,
            __file__,
            case.__name__,
            options,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {
            "LOC_DATA": str(disk / "data" if own else data),
            "LOC_RUN": str(data.parent / "run" if own else disk / "run"),
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr


def test_the_lock_of_a_stack_names_its_keeper_also_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the lock's file gave up its block, so `up` failed after the start of a keeper that
    `down` did not find.
    """
    from stage import small_disk  # not in a process that runs this file

    with small_disk(tmp_path) as (holder, _):
        home = Path(f"/proc/{holder}/root{tmp_path}")
        monkeypatch.setenv("LOC_RUN", str(home / "run"))
        with Client() as client:
            path = settings().run / "up.lock"
            path.write_text("4194303")
            Disk(home).fill()
            with pytest.raises(OSError, match="No space left"):
                (home / "other").write_text("1")
            lock = stack._lock_start(client)
        for pid, text in (("", ""), (4711, "4711")):
            stack._sign(lock, pid)
            assert path.read_text().strip() == text
        os.close(lock)
        with pytest.raises(OSError, match="No space left") as refused:
            stack.up(("setup",), detach=True, timeout=20)
        assert refused.value.filename == str(settings().run)


def _run(scenario: str, folder: Path) -> None:
    disk = Disk(folder)
    with warehouse.write("prod", who="test") as session:
        numbers(session, 1_400_000)
    load_sample(6000, who="test", report=lambda *state: None)
    before, loads = _served(), lake.loads()
    try:
        SCENARIOS[scenario](disk)
    except warehouse.WarehouseError as error:
        assert "no space left on the disk" in error.what and str(folder) in error.what, error.what
        assert "still is" in error.why and "Free some space" in error.fix, error
    else:
        raise AssertionError("no error")
    assert _served() == before and lake.loads() == loads
    assert not any(settings().warehouse.glob("*/staging/*")), "something is left in staging"
    disk.free()
    with warehouse.write("prod", who="test") as session:
        numbers(session, 1000, "insert into numbers")
    assert _served() == (before[0] + 1, before[1] + 1000)
    load_sample(6000, who="test", report=lambda *state: None)
    kept = {
        settings().lake / load.file
        for version in (True, False)
        for load in lake.loads(active=version)
    }
    left = {path for path in settings().lake.rglob("*") if path.is_file()}
    assert left <= kept, f"left over in the lake: {left - kept}"
    assert not any(settings().warehouse.glob("*/staging/*"))


def _served() -> tuple[int, int]:
    """Return the current version's id, and the number of rows that a reader gets."""
    with warehouse.read("prod") as con:
        return store.current_id("prod"), con.execute("select count(*) from numbers").fetchone()[0]


if __name__ == "__main__":
    if sys.argv[1] in SCENARIOS:
        _run(sys.argv[1], Path(sys.argv[2]))
    else:
        globals()[sys.argv[1]](Path(sys.argv[2]))
