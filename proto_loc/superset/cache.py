"""A file cache whose entries belong to one published version, so that none becomes stale."""

import hashlib
from pathlib import Path
from typing import Any

from flask import g, has_request_context
from flask_caching.backends.filesystemcache import FileSystemCache

from proto_loc import files
from proto_loc.settings import private_folder, settings
from proto_loc.superset.doors import door
from proto_loc.superset.serving import version_key


class VersionedFileSystemCache(FileSystemCache):
    """Cache with the published version in each key; older entries expire or are evicted."""

    def _get_filename(self, key: str) -> str:
        private_folder(Path(self._path))  # the user may have removed it
        return super()._get_filename(
            key if key == self._fs_count_file else f"{version_key()}:{key}"
        )


class DataCache(VersionedFileSystemCache):
    """The same cache, in which a request waits for another one that computes the same entry.

    After a publish, all viewers of a dashboard request the same charts, in both processes of the
    server. A request locks an entry until it has set it, or until the request ends.
    """

    def get(self, key: str) -> Any:
        entry = super().get(key)
        if entry is not None or not has_request_context():
            return entry
        lock, locks = _Lock(f"{version_key()}:{key}"), g.setdefault("loc_locks", {})
        if lock.number in locks:
            return None  # the request has the lock already: it must not wait for itself
        with door().queries().waiting():
            if not lock.wait(settings().query_timeout):
                return None  # the entry is then computed twice
        if (entry := super().get(key)) is None:
            locks[lock.number] = lock  # released when the request ends, at the latest
        return entry

    def set(self, key: str, *arguments: Any, **options: Any) -> Any:
        done = super().set(key, *arguments, **options)
        if has_request_context():
            g.get("loc_locks", {}).pop(_Lock.of(f"{version_key()}:{key}"), None)
        return done


class _Lock:
    """One of a fixed number of lock files; it is unlocked when the object is deleted."""

    FILES = 512

    def __init__(self, name: str) -> None:
        self.number = self.of(name)
        self._file = (
            private_folder(settings().run / "superset/cache/locks") / str(self.number)
        ).open("w")

    @classmethod
    def of(cls, name: str) -> int:
        """The number of an entry's lock file."""
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % cls.FILES

    def wait(self, seconds: float) -> bool:
        """Wait for the lock; return whether it was acquired in time."""
        return files.lock_within(self._file, seconds, poll=0.02)

    def __del__(self) -> None:
        self._file.close()
