"""Write sessions that publish a new version, reading, rollback and pruning."""

import logging
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from proto_loc import run_id
from proto_loc.errors import LocError, disk_is_full
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import engine, ledger, store
from proto_loc.warehouse.engine import Connection, Engine
from proto_loc.warehouse.errors import (
    NoData,
    VersionDamaged,
    WarehouseError,
    block_is_damaged,
    explained,
    first_line,
    no_space,
)
from proto_loc.warehouse.lock import lock_is_at
from proto_loc.warehouse.retention import kept
from proto_loc.warehouse.store import Version

log = logging.getLogger("proto_loc.warehouse")


@dataclass
class Session:
    """A write session: a private copy of the current version, and its future manifest."""

    database: str
    id: int
    """The id of the future version."""
    path: Path
    """The DuckDB file to write; any process may open it during the session. Trino has none."""
    who: str
    base: Version | None
    lock_fd: int
    """The descriptor of the lock; a child that inherits it (``pass_fds``) keeps the lock."""
    engine: Engine
    """What keeps the private copy."""
    name: str
    """A name for the copy, that no other session has."""
    checks: dict[str, int] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    """Row counts of views, which the writer has to set; the session counts rows of tables."""
    version: Version | None = None
    """The published version; None before the end of the session and after :meth:`discard`."""
    discarded: bool = False

    @property
    def folder(self) -> Path:
        """The session's folder; other files in it are published with the database."""
        return self.path.parent

    @cached_property
    def published_at(self) -> str:
        """The time of publication, UTC, ISO 8601; the first call fixes it."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    @cached_property
    def git_revision(self) -> str | None:
        """The commit that is checked out, with ``-dirty`` after changes; None without git."""
        command = ["git", "-C", ROOT, "describe", "--always", "--abbrev=40", "--exclude=*"]
        try:
            done = subprocess.run([*command, "--dirty"], capture_output=True, text=True)
        except OSError:
            return None
        return done.stdout.strip() or None if done.returncode == 0 else None

    def connect(self) -> AbstractContextManager[Connection]:
        """Connect to the session's copy; the connection closes at the end of the block."""
        return self.engine.connect(self)

    def run(self, command: Sequence[str | Path], **options) -> subprocess.CompletedProcess:
        """Call :func:`subprocess.run` for a child that inherits the lock."""
        return subprocess.run(command, pass_fds=(self.lock_fd,), **options)

    def discard(self) -> None:
        """Publish nothing at the end of the session, since nothing has changed."""
        self.discarded = True


@contextmanager
def write(
    database: str, *, who: str, timeout: float | None = None, onto: Engine | None = None
) -> Iterator[Session]:
    """Open a write session; the end of the block publishes it, and an exception discards it.

    Args:
        database: ``raw`` or ``prod``.
        who: the writer's name for the history.
        timeout: seconds to wait for another writer; default ``LOC_LOCK_TIMEOUT``.
        onto: another engine, to which the database moves: the session begins without a table.

    Raises:
        LockTimeout: another writer did not end in time.
        PublishError: a process still has the file open, or the file cannot be finished.
        VersionDamaged: the current version, on which the session is based, cannot be read.
        WarehouseError: the disk is full, the folder cannot be written.
    """
    config = settings()
    home = store.folder(database)
    with store.write_lock(database, timeout) as fd:
        session = _begin(database, who, fd, onto)
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
                f"{home} is no longer the folder that {who} began to write in.",
                "It or a parent folder was renamed or deleted meanwhile. Nothing was published.",
                f"Put it back, or check {config.data}; then run the command again.",
            ) from error
        finally:
            _end(session)
        if session.version:
            try:
                prune(database, lock_fd=fd)
            except WarehouseError as error:
                log.warning(
                    "version %d is published, but older ones were not removed: %s",
                    session.id,
                    error,
                )


def read(database: str, *, version: int | None = None) -> Connection:
    """Connect read-only to the current version, or to the one with the id ``version``.

    It is a connection of DuckDB, or of the engine that keeps the version. It sees that version as
    long as it is open; a new connection sees the newest one. It may use files and extensions: for
    SQL that people or models write, open ``current(database).path`` with
    :func:`proto_loc.warehouse.guard.connect`.

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
            # A publish and a prune may come between the look-up and the open; then retry.
            if version is not None or attempt == 4 or store.current_id(database) == serving:
                raise
    raise AssertionError("not reached")


def rollback(
    database: str, version_id: int | None = None, *, timeout: float | None = None
) -> Version:
    """Make another version the current one, by default the one on which it is based.

    Raises:
        UsageError: there is no such version.
        WarehouseError: there is no earlier version, or it is damaged.
    """
    with store.write_lock(database, timeout):
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
        version = store.find(database, version_id)
        if version.engine != engine.of(database).name:
            raise engine.another(version)
        version.keeper.go_back(version)
        if database == "raw":
            ledger.check(ledger.loads_of(version))
        with explained(f"Going back to version {version_id} of {database}", version.folder):
            store.swap(database, version_id)
        return version


def ensure(database: str) -> Version:
    """The current version; publish an empty one first if there is none."""
    if store.current_id(database) is None:
        with write(database, who="set-up") as session:
            if session.base:
                session.discard()  # another process has published the first version
    return store.current(database)


def prune(
    database: str,
    *,
    keep: int | None = None,
    grace: float | None = None,
    now: bool = False,
    lock_fd: int | None = None,
) -> list[int]:
    """Remove the versions without a reason to keep them; return their ids.

    Args:
        keep, grace, now: see :func:`proto_loc.warehouse.retention.kept`.
        lock_fd: the descriptor of the lock, if the caller has it.

    Raises:
        LockTimeout, WarehouseError: see :func:`write`.
    """
    if lock_fd is None:
        with store.write_lock(database) as fd:
            return prune(database, keep=keep, grace=grace, now=now, lock_fd=fd)
    store.heal(database)
    with explained(f"Pruning {database}", store.folder(database)):
        _clear(database)
        gone = [
            version.id
            for version in kept(database, keep=keep, grace=grace, now=now)
            if not version.why
        ]
        failed: dict[int, LocError] = {}
        for version_id in gone:
            try:
                version = store.load(database, version_id)
                version.keeper.remove(version)
            except VersionDamaged:
                pass  # without a manifest, its folder is all that is known
            except LocError as error:  # its engine does not answer, or is not installed here
                failed[version_id] = error
                continue
            store.remove(store.folder(database) / "versions" / store.dirname(version_id))
    if failed:
        error = next(iter(failed.values()))
        raise WarehouseError(
            f"{len(failed)} of {len(gone)} versions of {database} were not removed, such as"
            f" {min(failed)}.",
            f"{error.what} {error.why}",
            error.fix,
        )
    return gone


def tidy() -> None:
    """Remove what killed writers left, as a write session does, without a session."""
    for database in store.DATABASES:
        if (store.folder(database) / "staging").is_dir() or store.remains(database):
            with suppress(WarehouseError), store.write_lock(database, timeout=0):
                _clear(database)


def _begin(database: str, who: str, lock_fd: int, onto: Engine | None) -> Session:
    home = store.folder(database)
    staging = home / "staging"
    own_engine = onto or engine.of(database)
    serving = store.heal(database)
    if not onto:
        serving = own_engine.heal(database, serving)
    base = store.load(database, serving) if serving is not None else None
    if base and base.engine != own_engine.name:
        if base.tables and not onto:
            raise engine.another(base)
        base = None  # the empty first version of set-up, or that of the engine to leave
    if base:
        base.verify()
    with explained(f"Starting to write {database}", home):
        (home / "versions").mkdir(exist_ok=True)
        _clear(database)
        own = staging / uuid.uuid4().hex[:12]
        own.mkdir(parents=True)
    ids = store.versions(database)
    session = Session(
        database=database,
        id=ids[-1] + 1 if ids else 1,
        path=own / f"{database}.duckdb",
        who=who,
        base=base,
        lock_fd=lock_fd,
        engine=own_engine,
        name=own.name,
    )
    try:
        own_engine.begin(session)
    except BaseException:
        _end(session)
        raise
    return session


def _end(session: Session) -> None:
    """Remove what the session had, published or not."""
    try:
        session.engine.end(session)
    except LocError as error:
        log.warning("the next session removes what this one leaves: %s", error)
    finally:
        shutil.rmtree(session.folder, ignore_errors=True)


def _clear(database: str) -> None:
    """Remove what killed writers left; needs the lock, and no session may be open.

    A child without the lock may still write into a session's folder. Its file then has no name, and
    is never published.
    """
    engine.of(database).tidy(database)
    shutil.rmtree(store.folder(database) / "staging", ignore_errors=True)
    store.empty_trash(database)


def _publish(session: Session) -> Version:
    finished = session.engine.finish(session)
    version = Version(
        id=session.id,
        database=session.database,
        who=session.who,
        duckdb=duckdb.__version__,
        published_at=session.published_at,
        bytes=finished.bytes,
        tables=dict(sorted({**finished.tables, **session.tables}.items())),
        based_on=session.base.id if session.base else None,
        git_revision=session.git_revision,
        checks=session.checks,
        facts={"run_id": run_id.current() or run_id.new()} | session.facts | finished.facts,
        checksums={
            str(path.relative_to(session.folder)): store.checksum(path)
            for path in sorted(session.folder.rglob("*"))
            if path.is_file() and not path.is_symlink()
        },
        engine=session.engine.name,
    )
    manifest = session.folder / "manifest.json"
    manifest.write_text(version.dump())
    for path in (*session.folder.rglob("*"), session.folder):
        if path.is_symlink():
            continue  # its target is not part of the version
        if path.is_file():
            path.chmod(0o444)
        store.fsync(path)
    versions = store.folder(session.database) / "versions"
    os.rename(session.folder, version.folder)
    store.fsync(versions)
    try:
        session.engine.publish(session, version)
    except BaseException:
        if not session.engine.is_published(version):  # else the next session serves it
            store.remove(version.folder)
        raise
    store.swap(session.database, session.id)
    log.info(
        "published version %d of %s",
        version.id,
        version.database,
        extra={"version": version.id, "database": version.database} | version.joined,
    )
    return version
