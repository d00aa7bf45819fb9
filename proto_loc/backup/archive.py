"""Writes and reads archives: a tar file in zstd, as a stream in bounded memory.

The first file is the manifest, and the others follow in its order. A reader computes the header of
each file that must come next and compares it with the header that comes: so a link, a device, or
any other file than the manifest's is refused without being interpreted. After the compressed data
comes a frame that decompressors skip, with the manifest's id: it shows that the archive ends as it
was written.
"""

import hashlib
import io
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from backports import zstd

from proto_loc.backup.manifest import (
    MAX_BYTES,
    NAME,
    ArchiveRefused,
    Entry,
    Manifest,
    damaged,
    parse,
)

CHUNK = 1 << 20
MAGIC = b"\x28\xb5\x2f\xfd"
"""The first bytes of a zstd frame."""
END = b"proto_loc backup"
TAIL = struct.Struct("<II16s32s")
"""The last frame: zstd's number of skippable frames, its length, :data:`END`, the id."""
SKIPPABLE = 0x184D2A50
WINDOW = 27
"""Logarithm of the largest window of a compressed stream: 128 MB of memory."""


class Writer:
    """Writes an archive to an open file: the manifest, then its own files in order."""

    def __init__(self, file: IO[bytes], manifest: Manifest) -> None:
        self.file, self.manifest = file, manifest
        options = {
            zstd.CompressionParameter.compression_level: 3,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        self.stream = zstd.ZstdFile(file, "w", options=options)
        content = manifest.dump()
        self.stream.write(header(NAME, len(content)) + content + padding(len(content)))

    def add(self, entry: Entry, path: Path) -> None:
        """Write a file.

        Raises:
            OSError: it cannot be read, or the disk is full.
            ValueError: its content is not that of the manifest.
        """
        self.stream.write(header(entry.path, entry.bytes))
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as source:
            while chunk := source.read(min(CHUNK, entry.bytes - size)):
                digest.update(chunk)
                self.stream.write(chunk)
                size += len(chunk)
        if size != entry.bytes or digest.hexdigest() != entry.sha256:
            raise ValueError(f"{entry.path} is not what it was")
        self.stream.write(padding(size))

    def close(self) -> None:
        """Write the end of the archive."""
        self.stream.write(bytes(2 * tarfile.BLOCKSIZE))
        self.stream.close()
        self.file.write(TAIL.pack(SKIPPABLE, TAIL.size - 8, END, bytes.fromhex(self.manifest.id)))


class Reader:
    """Reads an archive in one pass; use it as a context manager.

    Raises:
        ArchiveRefused: it is cut off, changed, or no archive of the platform; whatever is wrong
            behind the manifest is found by :meth:`files`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Reader":
        try:
            self.file = self.path.open("rb")
        except OSError as error:
            raise ArchiveRefused(
                f"{self.path} cannot be read.",
                f"{error.strerror}.",
                "Name an archive of `loc backup`.",
            ) from error
        try:
            self.end = _end(self.file)
            options = {zstd.DecompressionParameter.window_log_max: WINDOW}
            self.stream = zstd.ZstdFile(_Part(self.file, self.length), "r", options=options)
            self.manifest = self._manifest()
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def length(self) -> int:
        """Bytes of the compressed data."""
        return os.fstat(self.file.fileno()).st_size - TAIL.size

    def files(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield each file of the archive with its content, which the caller has to read.

        The checksum of a file is compared after its last byte, and the end of the archive after
        its last file.

        Raises:
            ArchiveRefused: see the class.
        """
        for entry in self.manifest.own:
            if self._read(len(header(entry.path, 0))) != header(entry.path, entry.bytes):
                raise damaged(self.path, f"{entry.path} does not follow in it")
            yield entry, self._content(entry)
        if any(self._read(2 * tarfile.BLOCKSIZE)) or self._read(1, exact=False):
            raise damaged(self.path, "it has files that its manifest does not name")

    def _content(self, entry: Entry) -> Iterator[bytes]:
        digest, rest = hashlib.sha256(), entry.bytes
        while rest:
            chunk = self._read(min(CHUNK, rest))
            digest.update(chunk)
            rest -= len(chunk)
            yield chunk
        if digest.hexdigest() != entry.sha256:
            raise damaged(self.path, f"the checksum of {entry.path} differs")
        if any(self._read(len(padding(entry.bytes)))):
            raise damaged(self.path, f"something stands behind {entry.path}")

    def _manifest(self) -> Manifest:
        try:
            member = tarfile.TarInfo.frombuf(
                first := self._read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape"
            )
        except tarfile.HeaderError as error:
            raise foreign(self.path) from error
        if first != header(NAME, member.size) or member.size > MAX_BYTES:
            raise foreign(self.path)
        content = b"".join(
            self._read(min(CHUNK, member.size - at)) for at in range(0, member.size, CHUNK)
        )
        self._read(len(padding(member.size)))
        manifest = parse(content, self.path)
        if bytes.fromhex(manifest.id) != self.end:
            raise damaged(self.path, "its end is that of another archive")
        return manifest

    def _read(self, size: int, *, exact: bool = True) -> bytes:
        try:
            data = self.stream.read(size)
            while exact and len(data) < size and (rest := self.stream.read(size - len(data))):
                data += rest
        except (zstd.ZstdError, EOFError) as error:
            raise damaged(self.path, f"its compressed data is broken ({error})") from error
        if exact and len(data) < size:
            raise damaged(self.path, "it ends too early")
        return data


class _Part(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file, self.rest = file, length
        file.seek(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self.file.read(min(len(buffer), self.rest))
        self.rest -= len(data)
        buffer[: len(data)] = data
        return len(data)


def read_manifest(path: Path) -> Manifest:
    """The manifest of an archive, whose end is also looked at.

    Raises:
        ArchiveRefused: see :class:`Reader`.
    """
    with Reader(path) as reader:
        return reader.manifest


def foreign(path: Path) -> ArchiveRefused:
    """The error for a file that is no archive."""
    return ArchiveRefused(
        f"{path} is no archive of this platform.",
        "`loc backup` did not write it, or its beginning was changed.",
        "Name a file that `loc backup` wrote. Nothing was changed.",
    )


def header(path: str, size: int) -> bytes:
    """The header of a plain file in a tar file, the same for each user, time and machine."""
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """The zeros after a file of that size in a tar file."""
    return bytes(-size % tarfile.BLOCKSIZE)


def _end(file: IO[bytes]) -> bytes:
    """The id in the last frame."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(len(MAGIC))
    if start != MAGIC:
        raise foreign(Path(file.name))
    file.seek(max(size - TAIL.size, 0))
    tail = file.read()
    if len(tail) == TAIL.size:
        number, length, mark, digest = TAIL.unpack(tail)
        if (number, length, mark) == (SKIPPABLE, TAIL.size - 8, END):
            return digest
    raise damaged(file.name, "it ends too early, or something stands behind its end")
