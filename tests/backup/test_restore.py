"""A restore is whole or nothing: damaged, foreign and hostile archives change nothing."""

import errno
import io
import json
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from backports import zstd

from proto_loc import services
from proto_loc.backup import archive, encryption, make, manifest, moves, restore, workspace
from proto_loc.backup.make import Wish
from proto_loc.backup.manifest import ArchiveRefused, Base, Entry, Manifest
from proto_loc.backup.plan import Terms
from proto_loc.cli import main
from proto_loc.errors import LocError
from proto_loc.services import launch
from proto_loc.warehouse import store


@pytest.fixture
def monday(platform, empty, target) -> Path:
    """An archive; the settings are those of an empty platform."""
    make.backup(target, Wish(), who="test")
    empty.use()
    return target


def refused(path: Path, place, reason: str, *, terms: Terms | None = None) -> None:
    """A restore is refused with that reason, and nothing is left or changed."""
    before = place.files()
    with pytest.raises(LocError, match=reason):
        restore.restore(path, terms or Terms())
    assert place.files() == before and place.leftovers() == []


def test_an_archive_cut_off_anywhere_is_refused(monday, empty):
    content = monday.read_bytes()
    for size in (0, 3, 4, 100, len(content) // 2, len(content) - 60, len(content) - 1):
        monday.write_bytes(content[:size])
        refused(monday, empty, "no archive of this platform|ends too early")
    monday.write_bytes(content + b"\0")
    refused(monday, empty, "something stands behind its end")


def test_a_changed_byte_anywhere_is_refused(monday, empty):
    """Less than one in a hundred changes nothing that is unpacked, such as which of two equal
    places zstd copies from: they are no damage.
    """
    content = monday.read_bytes()
    step, harmless = len(content) // 23, 0
    for at in range(0, len(content), step):
        changed = bytearray(content)
        changed[at] ^= 0x20
        if at < len(content) - archive.TAIL.size and unpacked(changed) == unpacked(content):
            harmless += 1
            continue
        monday.write_bytes(changed)
        refused(monday, empty, "cannot be restored|no archive of this platform")
    assert harmless < 5


def unpacked(content: bytes) -> bytes:
    """What an archive decompresses to; empty if it is damaged."""
    try:
        return zstd.decompress(content)
    except zstd.ZstdError:
        return b""


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(900), zstd.compress(b"x" * 9000)])
def test_a_foreign_file_is_refused(empty, target, content):
    empty.use()
    target.write_bytes(content)
    refused(target, empty, "no archive of this platform|is not as it was written")


def test_a_folder_and_a_missing_file_are_refused(empty, target):
    empty.use()
    refused(target, empty, "cannot be read")
    refused(target.parent, empty, "cannot be read")


def forge(path: Path, entries: list[Entry], contents: list[bytes], **fields) -> Path:
    """Write an archive with a right checksum of whatever is in it."""
    values = {
        "platform": "x", "fork": "shop", "made_at": "2026-01-01T00:00:00+00:00",
        "git_revision": None, "releases": make.releases(), "current": {},
    }  # fmt: skip
    made = Manifest(**values | fields, files=tuple(entries)).seal()
    with path.open("wb") as file:
        writer = archive.Writer(file, made)
        for number, content in enumerate(contents):
            (path.parent / "content").write_bytes(content)
            writer.add(entries[number], path.parent / "content")
        writer.close()
    return path


def entry(name: str, content: bytes = b"x") -> Entry:
    import hashlib

    return Entry(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/passwd", "data/lake/../../x.parquet", "data/dagster/../../x"),
        *("data/dagster/a/../../../x", "notebooks/", "notebooks/./x", "notebooks//x"),
        *("data/lake/.bin/x.parquet", "data/lake/shop/x.csv", "data/backup/restore.json"),
        *("data/superset/other.db", "data/warehouse/raw/current", "data/warehouse/dev.duckdb"),
        *("data/landing/x.csv", "pipelines/x.py", ".env", "run/secrets/x", "notebooks/a\0b", ""),
    ],
)
def test_a_path_out_of_the_backup_is_refused(empty, target, name):
    """The manifest is right in itself, so only the rules for paths refuse it."""
    empty.use()
    forge(target, [entry(name)], [b"x"])
    refused(target, empty, r"is no path of a backup|leads out of the backup")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, b"S", b"x"]
)
def test_a_member_that_is_no_plain_file_is_refused(empty, target, kind):
    """Symbolic and hard links, devices, folders, sparse files and extended headers."""
    empty.use()
    made = forge(target, [entry("notebooks/x")], [b"x"])
    with zstd.open(made) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
        content = members.extractfile(members.next()).read()
    link = tarfile.TarInfo("notebooks/x")
    link.type, link.linkname, link.mode = kind, "/etc/passwd", 0o600
    file = io.BytesIO()
    for block in (archive.header(manifest.NAME, len(content)), content):
        file.write(block)
    file.write(archive.padding(len(content)) + link.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    tail = target.read_bytes()[-archive.TAIL.size :]
    target.write_bytes(zstd.compress(file.getvalue()) + tail)
    refused(target, empty, "notebooks/x does not follow in it")


def test_files_that_the_manifest_does_not_name_are_refused(empty, target, monkeypatch):
    empty.use()
    add = archive.Writer.add

    def twice(self, one, path):
        add(self, one, path)
        add(self, replace(one, path="notebooks/more"), path)

    monkeypatch.setattr(archive.Writer, "add", twice)
    forge(target, [entry("notebooks/x")], [b"x"])
    refused(target, empty, "files that its manifest does not name")


def test_a_small_file_that_unpacks_to_much_is_stopped_at_its_size(empty, target):
    """The manifest's sizes are compared with the free space before anything is unpacked."""
    empty.use()
    forge(target, [Entry("notebooks/x", 1 << 60, "0" * 64)], [])
    refused(target, empty, r"the disk is full.*It needs 1,152,921,504,607 MB")


@pytest.mark.parametrize(
    "fields",
    [
        *({"bases": (Base("0" * 64, name),)} for name in ("a/b", "", "..", "a\0b", "\ud800", 7)),
        *({"bases": (Base(name, "x"),)} for name in ("", "0" * 63, 7, ["x"])),
        *({"releases": {"duckdb": value}} for value in ("x", "", None, 7)),
        *({"releases": ["duckdb"]}, {"git_revision": 7}, {"fork": None}, {"made_at": 1}),
    ],
)
def test_a_value_that_no_backup_writes_is_refused(empty, target, fields, capfd):
    """The manifest is right in itself; what is odd in it is no defect of this program."""
    empty.use()
    forge(target, [], [], **fields)
    refused(target, empty, "its manifest was changed or is damaged")
    assert main(["restore", "--check", str(target)]) == 1
    assert "defect" not in capfd.readouterr().err


def test_odd_sizes_names_and_depths_are_refused(empty, target):
    """No header of a tar file can have them, and no parser of JSON reads the last one."""
    for odd in (Entry("notebooks/x", 1 << 200, "0" * 64), entry("notebooks/\ud800")):
        made = Manifest("p", "shop", "now", None, {}, {}, (odd,)).seal()
        with pytest.raises(ArchiveRefused, match="its manifest was changed or is damaged"):
            manifest.parse(made.dump(), target)
    with pytest.raises(ArchiveRefused, match="its manifest was changed or is damaged"):
        manifest.parse(b"[" * 100_000, target)


def test_a_later_release_is_refused_and_names_the_part(empty, target, monkeypatch):
    empty.use()
    forge(target, [], [], releases=make.releases() | {"duckdb": "99.0.0"})
    refused(target, empty, r"made with duckdb 99.0.0, and this clone has")
    forge(target, [], [], format=2)
    refused(target, empty, "its format is 2, and this release knows 1")


def test_parts_that_do_not_belong_together_are_refused(monday, empty, tmp_path):
    """Every checksum is right, but the ledger names a file that is not there."""
    with archive.Reader(monday) as reader:
        contents = {item.path: b"".join(content) for item, content in reader.files()}
        made = reader.manifest
    (lost,) = [name for name in contents if "2025-02" in name]
    forged = tmp_path / "forged.tar.zst"
    for gone, reason in (
        (lost, "the ledger of raw names"),
        ("data/warehouse/prod/versions/000002/manifest.json", "manifest in .* cannot be used"),
        ("data/warehouse/prod/versions/000002/prod.duckdb", "is not what was published"),
    ):
        rest = [item for item in made.files if item.path != gone]
        forge(forged, rest, [contents[item.path] for item in rest], current=made.current)
        refused(forged, empty, reason)
    forge(forged, list(made.files), list(contents.values()), current={"prod": 9})
    refused(forged, empty, "version 9 of prod, the current one, is missing")


def test_an_incremental_archive_with_another_base_is_refused(monday, empty, target):
    base = archive.read_manifest(monday)
    part = replace(entry("notebooks/x"), archive=base.id)
    forged = forge(target.with_name("b.tar.zst"), [part], [], bases=(Base(base.id, monday.name),))
    refused(forged, empty, "notebooks/x is missing")


def test_what_is_here_is_not_overwritten(monday, platform, empty):
    """Without --force nothing changes, and every place is named; with it, all is set aside."""
    empty.load(7)
    (empty.notebooks / "work").mkdir()
    (empty.notebooks / "work/Ünï code.ipynb").write_text("mine")
    refused(monday, empty, r"These hold something: .*another place/data/lake.*Ünï code.*--force")
    result = restore.restore(monday, Terms(force=True))
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    data, notebooks = map(Path, result.aside)
    assert (notebooks / "work/Ünï code.ipynb").read_text() == "mine"
    versions = data / "warehouse/prod/versions"
    assert [path.name for path in versions.iterdir()] == ["000001"]
    assert [path.suffix for path in (data / "lake/shop").iterdir()] == [".parquet"]


def test_a_notebook_that_is_the_same_is_no_conflict(monday, empty):
    (empty.notebooks / "work").mkdir()
    (empty.notebooks / "work/Ünï code.ipynb").write_text("{}")
    restore.restore(monday, Terms())
    assert empty.total() == 3


@pytest.mark.parametrize("name", ["data/lake", "data/superset", "notebooks/work"])
def test_a_link_out_of_the_folder_is_not_followed(monday, empty, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (empty.home / name).symlink_to(outside)
    refused(monday, empty, "is a link to .*outside", terms=Terms(force=True))
    assert list(outside.iterdir()) == []


def test_a_file_where_a_folder_belongs_is_refused_before_anything(monday, empty):
    (empty.notebooks / "work").write_text("mine")
    refused(monday, empty, "is a file, and the archive has a folder", terms=Terms(force=True))


def test_running_services_are_named(monday, empty, monkeypatch):
    monkeypatch.setattr(launch, "left", lambda mark: {1} if mark == services.mark() else set())
    refused(monday, empty, "Services of this clone run.*loc down")


def test_services_do_not_start_while_a_restore_unpacks(monday, empty, monkeypatch):
    """Neither by `loc up`, nor by hand: the moves would take their open files away."""
    running, answers = [], []

    def start(*_):
        with pytest.raises(LocError, match=r"Another backup or restore.*pid \d+"):
            workspace.prepare()
        answers.append(workspace.staging().exists())
        running.append(1)

    monkeypatch.setattr(restore, "_settle_dagster", start)
    monkeypatch.setattr(launch, "left", lambda mark: set(running))
    refused(monday, empty, "Services of this clone run.*loc down", terms=Terms(force=True))
    assert answers == [True]
    workspace.prepare()


def test_a_writer_is_waited_for_by_nobody(monday, empty):
    with store.write_lock("prod"), pytest.raises(LocError, match="prod is still being written"):
        restore.restore(monday, Terms())
    assert empty.leftovers() == []


def test_a_disk_that_fills_up_leaves_nothing(monday, empty, monkeypatch):
    unpack = restore._unpack

    def full(path, mode, content):
        unpack(path, mode, content)
        if path.suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(restore, "_unpack", full)
    refused(monday, empty, r"the disk is full.*MB are free")


KILLED = """
import os, signal, sys
from pathlib import Path
from proto_loc.backup import moves, restore, workspace
from proto_loc.backup.plan import Terms
workspace.NOTEBOOKS = Path(sys.argv[2])
made, rename = int(sys.argv[3]), os.rename
def counted(*names):
    global made
    if not made:
        os.kill(os.getpid(), signal.SIGKILL)
    made -= 1
    rename(*names)
os.rename = counted
restore.restore(Path(sys.argv[1]), Terms(force=True))
"""


@pytest.mark.parametrize("renames", [0, 1, 2, 5, 9])
def test_a_restore_killed_half_way_is_finished_and_never_taken_for_whole(
    monday, empty, renames, capfd
):
    """Until it is finished, every command refuses; then nothing of the old state remains."""
    empty.load(7)
    command = [sys.executable, "-c", KILLED, monday, empty.notebooks, str(renames)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert main(["db", "list"]) == 1
    assert "A restore was ended before it was done" in capfd.readouterr().err
    with pytest.raises(LocError, match="ended before it was done"):
        workspace.prepare()
    with pytest.raises(LocError, match="ended before it was done"):
        make.backup(monday.with_name("x"), Wish(), who="test")
    with pytest.raises(LocError, match="ended before it was done"):
        restore.restore(monday, Terms(force=True))
    assert main(["restore"]) == 0
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    assert [name.partition("-")[0] for name in empty.leftovers()] == ["replaced"]
    assert main(["restore"]) == 2


def test_a_restore_killed_while_it_unpacks_changes_nothing(monday, empty, tmp_path):
    """What was there is served, and the next restore clears up."""
    empty.load(7)
    program = KILLED.replace(
        "os.rename = counted", "restore._settle_dagster = lambda *_: counted()"
    )
    command = [sys.executable, "-c", program, monday, empty.notebooks, "0"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert empty.leftovers() and (empty.orders(), empty.total()) == ([7], 7)
    assert workspace.pending() is None
    restore.restore(monday, Terms(force=True))
    assert empty.total() == 3


def test_a_rename_that_fails_is_finished_later(monday, empty, monkeypatch):
    make_move, failing = moves.Move.make, [True]

    def fail_once(self):
        if self.target.endswith("superset") and failing:
            failing.clear()
            raise PermissionError(errno.EACCES, "Permission denied", self.target)
        make_move(self)

    monkeypatch.setattr(moves.Move, "make", fail_once)
    with pytest.raises(LocError, match=r"not restored in full yet.*`loc restore` finishes it"):
        restore.restore(monday, Terms())
    assert workspace.pending()
    assert restore.resume() and empty.total() == 3 and empty.leftovers() == []


def test_secrets_come_only_if_asked_for_and_encrypted(platform, empty, target, tmp_path):
    """A passphrase or a key opens them; a wrong one changes nothing."""
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"# made by age-keygen\n{identity}\n")
    words, keyed = target, target.with_name("keyed.tar.zst")
    make.backup(words, Wish(secrets=True, passphrase="correct horse"), who="test")
    recipients = (str(identity.to_public()),)
    make.backup(keyed, Wish(secrets=True, recipients=recipients), who="test")
    for path in (words, keyed):
        assert b"s3cr3t-word" not in zstd.decompress(path.read_bytes())
    empty.use()
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    refused(keyed, empty, "cannot be decrypted", terms=Terms(secrets=True, identity=other))
    refused(keyed, empty, "has no private key", terms=Terms(secrets=True, identity=words))
    secret = empty.home / "run/secrets/shop-dsn"
    result = restore.restore(keyed, Terms())
    assert not secret.exists() and "were not restored" in result.notes[0]
    restore.restore(words, Terms(force=True, secrets=True, passphrase="correct horse"))
    assert secret.read_text() == "s3cr3t-word\n" and secret.stat().st_mode & 0o777 == 0o600
    secret.unlink()
    restore.restore(keyed, Terms(force=True, secrets=True, identity=key))
    assert secret.read_text() == "s3cr3t-word\n" and secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["x", "[1]", '{"../x": "y"}', '{"x": 7}', '{"x": "\\ud800"}', "[" * 100_000]
)
def test_secrets_that_no_backup_writes_are_refused(tmp_path, text):
    """Anybody can encrypt for a public key."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity))
    content = pyrage.encrypt(text.encode(), [identity.to_public()])
    with pytest.raises(LocError, match="cannot be restored"):
        encryption.decrypt(content, tmp_path / "key.txt", "")


def test_a_secret_of_this_clone_is_not_overwritten(platform, empty, target, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity))
    recipients = (str(identity.to_public()),)
    make.backup(target, Wish(secrets=True, recipients=recipients), who="test")
    empty.use()
    secret = empty.home / "run/secrets/shop-dsn"
    secret.parent.mkdir(parents=True, mode=0o700)
    secret.write_text("other\n")
    secret.chmod(0o600)
    terms = Terms(secrets=True, identity=tmp_path / "key.txt")
    refused(target, empty, "would replace secrets.*shop-dsn", terms=terms)
    restore.restore(target, replace(terms, force=True))
    assert secret.read_text() == "s3cr3t-word\n"


def test_an_archive_without_secrets_says_so(monday, empty):
    refused(monday, empty, "The archive has no secrets", terms=Terms(secrets=True, passphrase="x"))


def test_check_reads_everything_and_writes_nothing(monday, empty, capfd):
    before = empty.files()
    assert main(["restore", "--check", str(monday)]) == 0
    assert "is whole" in capfd.readouterr().out
    assert empty.files() == before and empty.leftovers() == []
    content = bytearray(monday.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    monday.write_bytes(content)
    assert main(["restore", "--check", str(monday)]) == 1


def test_a_restored_backup_can_be_backed_up_again(monday, empty, target):
    """The second archive is another platform's, with the same content."""
    restore.restore(monday, Terms())
    again = target.with_name("again.tar.zst")
    make.backup(again, Wish(), who="test")
    first, second = map(archive.read_manifest, (monday, again))
    assert first.platform != second.platform
    assert {item for item in first.files if "/prod/" in item.path or "lake" in item.path} <= {
        *second.files
    }


def test_the_manifest_is_read_as_it_is_written():
    made = Manifest(
        "p", "shop", "now", None, {"duckdb": "1"}, {"raw": 1},
        (entry("notebooks/x"),), missing=("a",),
    ).seal()  # fmt: skip
    assert manifest.parse(made.dump(), "x") == made
    values = json.loads(made.dump())
    for changed in ({"fork": "other"}, {"extra": 1}, {"files": 3}, {"id": "0" * 64}):
        with pytest.raises(ArchiveRefused):
            manifest.parse(json.dumps(values | changed).encode(), "x")
