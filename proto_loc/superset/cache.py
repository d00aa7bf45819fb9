"""A cache of files whose entries belong to one published version, so that nothing stale is ever
shown.
"""

import hashlib
from pathlib import Path
from typing import Any

from flask import g, has_request_context
from flask_caching.backends.filesystemcache import FileSystemCache

from proto_loc import files
from proto_loc.settings import private_folder, settings
from proto_loc.superset.duckdb_dialect import readers, version_key


class VersionedFileSystemCache(FileSystemCache):
    """The version is a part of each key; entries of superseded versions go with their time-out
    and the threshold.
    """

    def _get_filename(self, key: str) -> str:
        private_folder(Path(self._path))  # it may be removed at any time
        return super()._get_filename(
            key if key == self._fs_count_file else f"{version_key()}:{key}"
        )


class DataCache(VersionedFileSystemCache):
    """The same, where of several requests for what is not there yet the first one works, and the
    others wait for it.

    After a publish every viewer of a dashboard asks for the same charts, over both processes of the
    server. A request holds the lock of an entry until it sets that; one that fails lets go of it
    when it ends.
    """

    def get(self, key: str) -> Any:
        entry = super().get(key)
        if entry is not None or not has_request_context():
            return entry
        lock, locks = _Lock(f"{version_key()}:{key}"), g.setdefault("loc_locks", {})
        if lock.number in locks:
            return (
                None  # the request has it, for this entry or another one: it would wait for itself
            )
        with readers().waiting():
            if not lock.wait(settings().query_timeout):
                return None  # better the same work twice than no answer
        if (entry := super().get(key)) is None:
            locks[lock.number] = lock  # let go of with the request, at the latest
        return entry

    def set(self, key: str, *arguments: Any, **options: Any) -> Any:
        done = super().set(key, *arguments, **options)
        if has_request_context():
            g.get("loc_locks", {}).pop(_Lock.of(f"{version_key()}:{key}"), None)
        return done


class _Lock:
    """One of a bounded number of lock files; held until the object is gone."""

    FILES = 512

    def __init__(self, name: str) -> None:
        self.number = self.of(name)
        self._file = (
            private_folder(settings().run / "superset/cache/locks") / str(self.number)
        ).open("w")

    @classmethod
    def of(cls, name: str) -> int:
        """Which of the files is that of an entry."""
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % cls.FILES

    def wait(self, seconds: float) -> bool:
        """Whether it is held within that time."""
        return files.lock_within(self._file, seconds, poll=0.02)

    def __del__(self) -> None:
        self._file.close()
