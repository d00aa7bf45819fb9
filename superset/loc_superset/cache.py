"""A cache of files whose entries belong to one published version, so that nothing stale is ever shown."""

from flask_caching.backends.filesystemcache import FileSystemCache

from loc_superset.prod import version_key


class VersionedFileSystemCache(FileSystemCache):
    """The version is a part of each key; entries of superseded versions go with their time-out and the threshold."""

    def _get_filename(self, key: str) -> str:
        return super()._get_filename(key if key == self._fs_count_file else f"{version_key()}:{key}")
