"""Write, audit, publish; and the ways to read and to go back."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from proto_loc.errors import disk_is_full
from proto_loc.settings import ROOT, settings
from proto_loc.sql import open_duckdb
from proto_loc.warehouse import finish, ledger, retention, store
from proto_loc.warehouse.errors import (
    NoData,
    PublishError,
    VersionDamaged,
    WarehouseError,
    block_is_damaged,
    explained,
    first_line,
    no_space,
)
from proto_loc.warehouse.lock import lock_is_at, writer_lock
from proto_loc.warehouse.store import Version

log = logging.getLogger("proto_loc.warehouse")


@dataclass
class Session:
    """A write session: a private copy of the current version, and its future manifest."""

    database: str
    id: int
    """The id that the version will have."""
    path: Path
    """The DuckDB file to work on; any process may, while the session lasts."""
    who: str
    base: Version | None
    lock_fd: int
    """Pass it to children (``pass_fds``), so that the lock lasts until the last of them has
    ended.
    """
    checks: dict[str, int] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    """Row counts that only the writer knows (of views over files); tables of the file are
    counted at the publish.
    """
    version: Version | None = None
    """The version published; None until then, and after :meth:`discard`."""
    discarded: bool = False

    @property
    def folder(self) -> Path:
        """The session's own folder: whatever else lies in it is published with the file."""
        return self.path.parent

    @cached_property
    def published_at(self) -> str:
        """The time of publication, UTC, ISO 8601: the moment of the first call."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    @cached_property
    def git_revision(self) -> str | None:
        """The commit that is checked out; None without git.

        It ends in ``-dirty`` if a file that git knows has changed.
        """
        try:
            command = [
                "git",
                "-C",
                str(ROOT),
                "describe",
                "--always",
                "--abbrev=40",
                "--exclude=*",
                "--dirty",
            ]
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError:
            return None
        return done.stdout.strip() or None if done.returncode == 0 else None

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the session's file, closed at the end of the block."""
        with explained(f"Writing {self.database}", self.path), open_duckdb(self.path) as con:
            yield con

    def run(self, command: Sequence[str | Path], **options) -> subprocess.CompletedProcess:
        """:func:`subprocess.run`, with the lock inherited."""
        return subprocess.run(command, pass_fds=(self.lock_fd,), **options)

    def discard(self) -> None:
        """Publish nothing at the end of the session: there was nothing to change."""
        self.discarded = True


@contextmanager
def write(database: str, *, who: str, timeout: float | None = None) -> Iterator[Session]:
    """Open a write session; a clean end of the block publishes the next version.

    Anything else leaves no trace.

    Args:
        database: ``raw`` or ``prod``.
        who: who writes, for the history.
        timeout: seconds to wait for another writer; default ``LOC_LOCK_TIMEOUT``.

    Raises:
        LockTimeout: another writer did not end in time.
        PublishError: a process still has the file open, or the file cannot be finished.
        VersionDamaged: the current version cannot be read, so nothing can be based on it.
        WarehouseError: the disk is full, the folder cannot be written.
    """
    config = settings()
    home = store.folder(database)
    with writer_lock(
        home / "writer.lock", timeout=config.lock_timeout if timeout is None else timeout
    ) as fd:
        session = _begin(database, who, fd)
        try:
            try:
                yield session
            except (OSError, duckdb.Error) as error:
                if session.base and block_is_damaged(error):
                    raise session.base.damaged(first_line(error)) from error
                if not disk_is_full(error):
                    raise  # any other error in the block is the caller's own
                with explained(f"Writing {database}", session.path):
                    raise (
                        error if isinstance(error, OSError) else no_space(session.path, config.run)
                    ) from None
            if not session.discarded:
                with explained(f"Publishing {database}", home):
                    session.version = _publish(session)
        except Exception as error:
            if lock_is_at(home / "writer.lock", fd):
                raise
            raise WarehouseError(
                f"{home} is not the folder any more that {who} began to write in.",
                "It, or one that it is in, was renamed or deleted meanwhile. Nothing was"
                " published.",
                f"Put it back, or see to what {config.data} is; then run it again.",
            ) from error
        finally:
            shutil.rmtree(session.folder, ignore_errors=True)
        if session.version:
            try:
                prune(database, held=fd)
            except WarehouseError as error:
                log.warning(
                    "version %d is published, but older ones were not removed: %s",
                    session.id,
                    error,
                )


def read(database: str, *, version: int | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the current version, or to the one with the id ``version``.

    It sees that version, whole, for as long as it is open; a new connection sees the newest. It is
    trusted with files and extensions; where people or models write the SQL, open
    ``current(database).path`` with :func:`proto_loc.warehouse.guard.connect`.

    Raises:
        NoData: nothing has been published yet.
        UsageError: no version has that id.
        VersionDamaged: the version is truncated, or of another DuckDB release.
    """
    for attempt in range(5):
        serving = store.current_id(database)
        try:
            return (
                store.current(database) if version is None else store.find(database, version)
            ).open()
        except (VersionDamaged, duckdb.IOException):
            # Between the look-up and the open, a publish and a prune can pass by; then there is a
            # newer current.
            if version is not None or attempt == 4 or store.current_id(database) == serving:
                raise
    raise AssertionError("not reached")


def rollback(
    database: str, version_id: int | None = None, *, timeout: float | None = None
) -> Version:
    """Serve an earlier version again: a swap of the link, which copies nothing and loses nothing.

    Args:
        version_id: which one; default the one that the current one was made from.

    Raises:
        UsageError: there is no such version.
        WarehouseError: there is no earlier one, or it is damaged.
    """
    config = settings()
    lock = store.folder(database) / "writer.lock"
    with writer_lock(lock, timeout=config.lock_timeout if timeout is None else timeout):
        serving = store.heal(database)
        if serving is None:
            raise NoData(
                f"{database} holds no data yet.",
                "There is nothing to go back from.",
                "Run `loc refresh`.",
            )
        if version_id is None:
            version_id = store.before(database, serving)
            if version_id is None:
                kept = ", ".join(map(str, store.versions(database)))
                raise WarehouseError(
                    f"{database} has no version that {serving} was made from.",
                    f"It was pruned, or {serving} is the first. Kept are: {kept}.",
                    f"Name the one to serve: `loc db rollback ID --database {database}`; see `loc"
                    " db history`.",
                )
        version = store.find(database, version_id).check()
        version.open().close()
        if database == "raw":
            ledger.check(ledger.loads_of(version))
        with explained(f"Going back to version {version_id} of {database}", version.folder):
            store.swap(database, version_id)
        return version


def ensure(database: str) -> Version:
    """The current version; where there is none, an empty first one is published.

    So readers can always open one.
    """
    if store.current_id(database) is None:
        with write(database, who="set-up") as session:
            if session.base:
                session.discard()  # another process was first
    return store.current(database)


def prune(
    database: str,
    *,
    keep: int | None = None,
    grace: float | None = None,
    now: bool = False,
    held: int | None = None,
) -> list[int]:
    """Remove the versions that nothing keeps, as :func:`kept` says; returns their ids.

    Args:
        keep, grace, now: see :func:`kept`.
        held: the lock's descriptor, if the caller has the lock.

    Raises:
        LockTimeout, WarehouseError: see :func:`write`.
    """
    if held is None:
        with writer_lock(
            store.folder(database) / "writer.lock", timeout=settings().lock_timeout
        ) as fd:
            return prune(database, keep=keep, grace=grace, now=now, held=fd)
    store.heal(database)
    with explained(f"Pruning {database}", store.folder(database)):
        _clear(database)
        gone = [
            version.id
            for version in kept(database, keep=keep, grace=grace, now=now)
            if not version.why
        ]
        for version_id in gone:
            store.remove(store.folder(database) / "versions" / store.dirname(version_id))
    return gone


def kept(
    database: str, *, keep: int | None = None, grace: float | None = None, now: bool = False
) -> list[retention.Kept]:
    """All versions, oldest first, each with what keeps it from being pruned.

    Args:
        keep, grace: default ``LOC_KEEP_VERSIONS`` and ``LOC_GRACE`` (seconds).
        now: without any grace time, but none that a process has open.
    """
    config = settings()
    return retention.plan(
        database,
        keep=config.keep_versions if keep is None else keep,
        grace=config.grace if grace is None else grace,
        most=config.grace_bytes,
        now=now,
    )


def tidy() -> None:
    """Remove what killed writers left, in every database that nobody is writing to.

    A refresh that has nothing to build opens no session, which would do it.
    """
    for database in store.DATABASES:
        if (store.folder(database) / "staging").is_dir():
            with (
                suppress(WarehouseError),
                writer_lock(store.folder(database) / "writer.lock", timeout=0),
            ):
                _clear(database)


def _begin(database: str, who: str, lock_fd: int) -> Session:
    home = store.folder(database)
    staging = home / "staging"
    serving = store.heal(database)
    base = store.load(database, serving).verify() if serving is not None else None
    with explained(f"Starting to write {database}", home):
        (home / "versions").mkdir(exist_ok=True)
        _clear(database)
        own = staging / uuid.uuid4().hex[:12]
        own.mkdir(parents=True)
    path = own / f"{database}.duckdb"
    if base:
        try:
            store.copy(base.path, path)
            if base.checksums and store.checksum(path) != base.checksums[path.name]:
                base.check()
                raise WarehouseError(
                    f"The copy of {base.path} is another file than it.",
                    "Something between the disk and the memory of this machine is failing.",
                    "Try again, and look into the system's log for errors of the disk.",
                )
        except BaseException:
            shutil.rmtree(own, ignore_errors=True)
            raise
    ids = store.versions(database)
    return Session(
        database=database,
        id=ids[-1] + 1 if ids else 1,
        path=path,
        who=who,
        base=base,
        lock_fd=lock_fd,
    )


def _clear(database: str) -> None:
    """Remove what killed writers left; with the lock held, and no session open.

    A child that did not inherit the lock may still write to a session's folder; it writes on into a
    file without a name, which nobody will publish.
    """
    shutil.rmtree(store.folder(database) / "staging", ignore_errors=True)
    store.empty_trash(database)


def _publish(session: Session) -> Version:
    if not session.path.exists():
        open_duckdb(session.path).close()
    rows = _finish(session)
    version = Version(
        id=session.id,
        database=session.database,
        who=session.who,
        duckdb=duckdb.__version__,
        published_at=session.published_at,
        bytes=session.path.stat().st_size,
        tables=dict(sorted({**rows, **session.tables}.items())),
        based_on=session.base.id if session.base else None,
        git_revision=session.git_revision,
        checks=session.checks,
        facts=session.facts,
        checksums={
            str(path.relative_to(session.folder)): store.checksum(path)
            for path in sorted(_files(session))
        },
    )
    manifest = session.folder / "manifest.json"
    manifest.write_text(version.dump())
    for path in (*session.folder.rglob("*"), session.folder):
        if path.is_symlink():
            continue  # what it leads to is not ours
        if path.is_file():
            path.chmod(0o444)
        store.fsync(path)
    versions = store.folder(session.database) / "versions"
    os.rename(session.folder, version.folder)
    store.fsync(versions)
    store.swap(session.database, session.id)
    log.info("published version %d of %s", version.id, version.database)
    return version


def _files(session: Session) -> list[Path]:
    return [path for path in session.folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _finish(session: Session) -> dict[str, int]:
    # prod is read by itself; raw is a catalogue of files.
    command = [
        sys.executable,
        "-I",
        finish.__file__,
        str(session.path),
        *(["alone"] if session.database == "prod" else []),
    ]
    deadline = time.monotonic() + 5
    while True:
        done = session.run(command, capture_output=True, text=True)
        # A child that was told to end can take a moment to let go of the file.
        if (
            done.returncode == 0
            or "Could not set lock" not in done.stderr
            or time.monotonic() > deadline
        ):
            break
        time.sleep(0.2)
    if done.returncode == 0:
        return json.loads(done.stdout)
    reason = (
        done.stderr.strip().splitlines()[-1]
        if done.stderr.strip()
        else f"exit code {done.returncode}"
    )
    if disk_is_full(done.stderr):
        raise no_space(session.path)
    if session.base and block_is_damaged(done.stderr):
        raise session.base.damaged(first_line(reason))
    raise PublishError(
        f"{session.database} was not published.",
        f"Its file could not be finished: {reason.removesuffix('.')}.",
        (
            "Close every connection to the session's file before the session ends."
            if "Could not set lock" in done.stderr
            else "Mend what it names, then try again."
        ),
    )
