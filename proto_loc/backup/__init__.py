"""Backup and restore: what the platform holds and git does not, as one archive.

:mod:`~proto_loc.backup.make` writes an archive while everything runs, and
:mod:`~proto_loc.backup.restore` puts one in place, whole or not at all.
"""
