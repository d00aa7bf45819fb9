"""Reads published files in full and compares them with their checksums."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proto_loc.warehouse import ledger, store
from proto_loc.warehouse.errors import VersionDamaged, WarehouseError


@dataclass(frozen=True)
class Verdict:
    """The result of reading a version in full."""

    database: str
    id: int
    version: store.Version | None
    """None if the manifest is damaged."""
    damage: VersionDamaged | None = None
    unread: WarehouseError | None = None
    """Why it was not compared: the engine that keeps it does not answer."""
    files: int = 0
    """Number of files that were compared with their checksums."""
    unknown: int = 0
    """Number of files without a checksum, which were compared by size only."""

    @property
    def state(self) -> str:
        """``damaged``, ``not read``, ``whole``, or ``of unknown content`` if some files have no
        checksum.
        """
        if self.damage or self.unread:
            return "damaged" if self.damage else "not read"
        return "of unknown content" if self.unknown else "whole"

    @property
    def trouble(self) -> WarehouseError | None:
        """Why it is not known to be whole, for a person."""
        return self.damage or self.unread


def verify(
    database: str, versions: Iterable[int], *, content: bool = True, values: bool = False
) -> Iterator[Verdict]:
    """Verify these versions in order; for ``raw``, include the files in the lake.

    Args:
        content: compare checksums, for which every file is read. If False, compare sizes only.
        values: also read every value of versions that are in no file.
    """
    sound = ledger.intact if content else ledger.whole
    intact: dict[ledger.Load, bool] = {}  # most versions share most of their files
    for version_id in versions:
        version = None
        try:
            version = store.load(database, version_id)
            version = version.check(values=values) if content else version.verify()
            version.open().close()
            loads = ledger.loads_of(version) if database == "raw" else []
            intact |= {load: sound(load) for load in loads if load not in intact}
            if lost := [load for load in loads if not intact[load]]:
                raise ledger.damaged(lost)
        except VersionDamaged as damage:
            yield Verdict(database, version_id, version, damage)
            continue
        except WarehouseError as error:
            yield Verdict(database, version_id, version, unread=error)
            continue
        if not content:
            yield Verdict(database, version_id, version, unknown=1 + len(loads))
            continue
        unknown = sum(load.sha256 is None for load in loads)
        yield Verdict(
            database,
            version_id,
            version,
            files=len(version.checksums) + len(loads) - unknown,
            unknown=unknown + (version.path.exists() and not version.checksums),
        )
