"""Plans where each part of a backup goes, and what may be in its place."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proto_loc import credentials
from proto_loc.backup import databases, encryption, workspace
from proto_loc.backup.manifest import DUMP, METADATA, SECRETS, Manifest
from proto_loc.backup.moves import Move
from proto_loc.backup.snapshot import unchanged_in_git
from proto_loc.errors import UsageError
from proto_loc.settings import private_folder, settings
from proto_loc.warehouse import store


@dataclass(frozen=True)
class Terms:
    """What a restore may do."""

    force: bool = False
    """Set aside what is there, instead of refusing."""
    secrets: bool = False
    identity: Path | None = None
    """The file of the private key for the secrets; else they need a passphrase."""
    passphrase: str = ""


class Plan:
    """The moves of a restore."""

    def __init__(self, manifest: Manifest, staged: Path, notebooks: Path, secrets: Path) -> None:
        """Args: the folders into which data, notebooks and secrets are unpacked."""
        self.manifest, self.staged = manifest, staged
        self.notebooks, self.secrets = notebooks, secrets
        self.moves: list[Move] = []
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self.asides_by_root = {
            settings().data: workspace.folder() / f"replaced-{stamp}",
            workspace.NOTEBOOKS: workspace.NOTEBOOKS / f".replaced-{stamp}",
            settings().run: credentials.path(f".replaced-{stamp}"),
        }
        places = {entry.path.split("/")[1] for entry in manifest.files if "/" in entry.path}
        for place in ("lake", "dagster", "superset"):
            # Files of another lake would be swept, as no version of the restored raw knows them.
            if place in places or (place == "lake" and "raw" in manifest.current):
                self._add(staged / "data" / place, settings().data / place, settings().data)
        for database in manifest.current:
            home, new = store.folder(database), staged / "data/warehouse" / database
            for name in ("versions", "served", "current"):
                self._add(new / name, home / name, settings().data)
        for entry in manifest.files:
            if entry.path.startswith("notebooks/"):
                name = entry.path.removeprefix("notebooks/")
                self._add(notebooks / name, workspace.NOTEBOOKS / name, workspace.NOTEBOOKS)

    def _add(self, source: Path, target: Path, root: Path) -> None:
        aside = self.asides_by_root[root] / target.relative_to(root)
        self.moves.append(Move(str(source), str(target), str(aside)))

    def place(self, name: str) -> tuple[Path, int]:
        """Where a file of the archive is unpacked, and with which mode."""
        if name.startswith("notebooks/"):
            return self.notebooks / name.removeprefix("notebooks/"), 0o666
        is_fixed = name.startswith(("data/warehouse/", "data/lake/"))
        return self.staged / name, 0o444 if is_fixed else 0o600

    def check(self, force: bool) -> None:
        """Check that the moves stay in their folders, and lose nothing without ``force``.

        Raises:
            UsageError: a place is a link or a disk of its own, or holds something.
        """
        for move in self.moves:
            _check_place(Path(move.target))
        taken = [target for move in self.moves if _holds(target := Path(move.target))]
        unchanged = unchanged_in_git() | self._same()
        taken = [path for path in taken if path not in unchanged]
        names = {
            str(path.parent if path.name in ("versions", "served", "current") else path)
            for path in taken
        }
        if self.manifest.has(DUMP) and settings().superset_sqlite is not None:
            raise UsageError(
                "Superset's metadata of this archive are for PostgreSQL.",
                "LOC_SUPERSET_METADATA is not set here.",
                "Set it to the address of an empty PostgreSQL database, then restore again.",
            )
        if self.manifest.has(DUMP) and not databases.postgresql_is_empty():
            names.add("the database of LOC_SUPERSET_METADATA")
        if names and not force:
            listed = sorted(names)
            rest = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
            raise UsageError(
                "Nothing was restored: it would replace what is here.",
                f"These hold something: {', '.join(listed[:8])}{rest}.",
                "Restore into another clone or data folder (LOC_DATA), or say --force: what is here"
                " is then set aside, except a PostgreSQL database, which is replaced.",
            )

    def _same(self) -> set[Path]:
        """The notebooks that are here as they are in the archive."""
        prefix = "notebooks/"
        places = {
            workspace.NOTEBOOKS / entry.path.removeprefix(prefix): entry.sha256
            for entry in self.manifest.files
            if entry.path.startswith(prefix)
        }
        return {
            path for path, digest in places.items()
            if path.is_file() and store.checksum(path) == digest
        }  # fmt: skip

    def make(self, terms: Terms, notes: list[str]) -> None:
        """Add what the archive does not hold as files: links of versions, decrypted secrets.

        Raises:
            UsageError, LocError: see :func:`restore`.
        """
        for database, number in self.manifest.current.items():
            home = self.staged / "data/warehouse" / database
            (home / "served").write_text(f"{store.dirname(number)}\n")
            (home / "current").symlink_to(Path("versions") / store.dirname(number))
        if "raw" in self.manifest.current:
            private_folder(self.staged / "data/lake")
        place = settings().data / METADATA.removeprefix("data/")
        if self.manifest.has(METADATA) and settings().superset_sqlite != place:
            notes.append(
                f"Superset's metadata are in {place}, and LOC_SUPERSET_METADATA names another"
                " place: unset it, or Superset does not see them."
            )
        if not self.manifest.has(SECRETS):
            if terms.secrets:
                raise UsageError(
                    "The archive has no secrets.",
                    "It was made without --with-secrets.",
                    "Leave out --with-secrets. Nothing was changed.",
                )
            notes.append("It has no secrets: give those of your sources again.")
            return
        if not terms.secrets:
            notes.append("The archive's secrets were not restored: --with-secrets does.")
            return
        self._secrets(terms)

    def _secrets(self, terms: Terms) -> None:
        content = (self.staged / SECRETS).read_bytes()
        private_folder(self.secrets)
        changed = []
        for name, text in encryption.decrypt(content, terms.identity, terms.passphrase).items():
            place = credentials.path(name)
            if place.is_file() and place.read_text().strip() == text:
                continue
            changed += [place] if place.exists() else []
            descriptor = os.open(self.secrets / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{text}\n")
            self._add(self.secrets / name, place, settings().run)
            _check_place(place)
        if changed and not terms.force:
            raise UsageError(
                "Nothing was restored: it would replace secrets of this clone.",
                f"They differ: {', '.join(path.name for path in changed)}.",
                "Leave out --with-secrets, or say --force: those of this clone are then set aside.",
            )

    def asides(self) -> list[str]:
        """The folders with what was there before."""
        return [str(path) for path in self.asides_by_root.values() if path.exists()]


def _holds(path: Path) -> bool:
    """Whether there is something at a path that a restore would take away."""
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return os.path.lexists(path)


def _check_place(target: Path) -> None:
    roots = (settings().data, settings().run, workspace.NOTEBOOKS)
    root = next(root for root in roots if target.is_relative_to(root))
    for path in (target, *target.parents):
        if path == root:
            return
        is_current = path.name == "current" and path.parent.parent == settings().warehouse
        if path.is_symlink() and not is_current:
            raise UsageError(
                f"{path} is a link to {os.readlink(path)}.",
                f"A restore writes into {root} only, and follows no link out of it.",
                "Remove the link, restore, then move the folder and link it again.",
            )
        if path != target and path.exists() and not path.is_dir():
            raise UsageError(
                f"{path} is a file, and the archive has a folder of that name.",
                "A restore does not replace one by the other.",
                f"Rename {path}, then restore.",
            )
        if path.is_mount():
            raise UsageError(
                f"{path} is a disk of its own.",
                "A restore replaces folders by renames, which stay on one disk.",
                "Unmount it, restore, then move the content there.",
            )
