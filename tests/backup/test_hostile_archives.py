"""Damaged, foreign and hostile archives are refused whole, and change nothing."""

import io
import json
import tarfile
from dataclasses import replace

import pytest
from backports import zstd
from forgery import entry, forge, refused

from proto_loc.backup import archive, make, manifest
from proto_loc.backup.manifest import ArchiveRefused, Base, Entry, Manifest
from proto_loc.cli import main


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


@pytest.mark.parametrize("tool", ["duckdb", "dagster", "superset"])
def test_files_of_a_later_tool_are_refused_by_its_name(empty, target, tool):
    empty.use()
    forge(target, [], [], releases=make.releases() | {tool: "99.0.0"})
    refused(target, empty, rf"made with {tool} 99.0.0, and this clone has")


def test_an_archive_of_a_later_format_is_refused(empty, target):
    empty.use()
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
