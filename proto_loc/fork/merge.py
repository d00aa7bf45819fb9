"""Merges a later version of the platform into a fork, and keeps the fork's own content."""

from dataclasses import dataclass
from pathlib import Path

from proto_loc import fork_file
from proto_loc.errors import LocError, UsageError
from proto_loc.fork import demonstration, start
from proto_loc.fork.demonstration import Demonstration
from proto_loc.fork.removal import write_entries
from proto_loc.fork.repository import BRANCHES, Repository
from proto_loc.settings import ROOT

OWNED = ("README.md", "LICENSE", "fork.toml")
"""Files that ``loc init`` writes anew, so that a fork's text stays as it is."""
OPTIONS = (
    "--no-commit",
    "--no-ff",
    # Git would take a fork's model for the renamed one of a demonstration that the fork deleted.
    *("--strategy", "ort", "--strategy-option", "no-renames"),
)
CONFIGURATION = ("-c", "merge.directoryRenames=false", "-c", "rerere.enabled=false")


@dataclass(frozen=True)
class Merged:
    """What a merge did."""

    commit: str
    """The platform's commit that was merged; empty if the fork had it already."""
    kept_out: tuple[str, ...] = ()
    """Files of the demonstration, and files that the fork has deleted, that do not come back."""
    kept: tuple[str, ...] = ()
    """The fork's own files that stay as they are, although the platform changed its own."""


class Conflicts(LocError):
    """The fork and the platform changed the same lines of a file."""


def default_branch(repository: Repository) -> str:
    """The remote's branch to merge from.

    Raises:
        UsageError: there is none.
    """
    for branch in BRANCHES[:2]:
        if repository.commit(f"refs/remotes/{branch}"):
            return branch
    raise UsageError(
        "It is not known where the platform comes from.",
        "There is no remote named upstream.",
        "git remote add upstream URL && git fetch upstream, or name a branch: loc fork merge NAME",
    )


def merge(name: str = "", *, root: Path = ROOT) -> Merged:
    """Merge a commit of the platform, or finish a merge that has begun, and commit it.

    In a fork without the demonstration, every path that demonstration.toml covers stays as it is
    in the fork. A file that the fork deleted stays deleted, and :data:`OWNED` stay as they are.

    Args:
        name: a branch, tag or commit.

    Raises:
        UsageError: there is no such commit, git tracks a file with changes, or a merge of
            something else is pending.
        Conflicts: a conflict remains; the merge waits for a person.
    """
    repository = Repository(root)
    pending = repository.commit("MERGE_HEAD")
    if not pending:
        repository.require_clean("A merge")
    name = name or default_branch(repository)
    commit = repository.commit(name)
    if not commit:
        raise UsageError(
            f"git knows no commit {name!r}.", "", "git fetch upstream, or name another one."
        )
    if pending:
        if repository.run("merge-base", "--is-ancestor", pending, commit).returncode:
            raise UsageError(
                "Another merge is pending.",
                f"It is of commit {pending[:9]}, which is not in {name}.",
                "Finish it (git commit) or abort it (git merge --abort), then run this again.",
            )
        commit = pending
    else:
        if repository.run("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0:
            return Merged("")
        _join(repository, commit)
        done = repository.run(*CONFIGURATION, "merge", *OPTIONS, commit)
        if not repository.commit("MERGE_HEAD"):
            raise LocError(
                f"git cannot merge {name}.", done.stderr.strip() or done.stdout.strip(),
                "Mend that, then run it again; nothing was changed.",
            )  # fmt: skip
    merged = _resolve(repository, commit, resumed=bool(pending))
    if conflicts := repository.paths("diff", "--name-only", "--diff-filter=U", "-z"):
        more = f" and {len(conflicts) - 10} more" if len(conflicts) > 10 else ""
        raise Conflicts(
            f"{len(conflicts)} files were changed by this fork and by the platform.",
            f"They are {', '.join(conflicts[:10])}{more}.",
            f"Resolve and `git add` them, then run `loc fork merge {name}` again; `git merge"
            " --abort` goes back.",
        )
    write_entries(root / "fork.toml", upstream=commit)
    repository.output("add", "--", "fork.toml")
    subject = f"Merge proto_loc {commit[:9]}"
    repository.output("commit", "--quiet", "--no-verify", "--message", subject)
    return merged


def _join(repository: Repository, commit: str) -> None:
    """Give a fork that was made from a copy its place in the platform's history.

    A template has no history. Its first commit has the platform of one commit upstream, and a fork
    does not change ``proto_loc/``, so that the commit with the same tree is the one it came from.

    Raises:
        LocError: no commit has that tree.
    """
    if repository.run("merge-base", "HEAD", commit).returncode == 0:
        return
    first = repository.output("rev-list", "--max-parents=0", "HEAD").split()[-1]
    tree = repository.output("rev-parse", f"{first}:proto_loc").strip()
    for ancestor in repository.output("rev-list", commit).split():
        if repository.run("rev-parse", f"{ancestor}:proto_loc").stdout.strip() == tree:
            break
    else:
        raise LocError(
            "This fork and the platform have no commit in common.",
            f"No commit of the platform has the proto_loc/ of the first one, {first[:9]}.",
            "Fetch the whole history: git fetch --unshallow upstream",
        )
    subject = f"This fork was made from proto_loc {ancestor[:9]}"
    options = ("--strategy", "ours", "--allow-unrelated-histories", "--no-verify")
    repository.output("merge", "--quiet", *options, "--message", subject, ancestor)


def _resolve(repository: Repository, commit: str, *, resumed: bool) -> Merged:
    """Put the fork's side back where it counts; other conflicts stay.

    Args:
        resumed: the merge had begun before, so that a person may have staged files of their own.
    """
    places = _places(repository, commit)
    ours = set(repository.files_of("HEAD"))
    changed = set(repository.paths("diff", "--cached", "--name-only", "--no-renames", "-z", "HEAD"))
    unmerged = set(repository.paths("diff", "--name-only", "--diff-filter=U", "-z"))
    deleted = {path for path in unmerged if path not in ours}
    common = repository.output("merge-base", "HEAD", commit).strip()
    rewritten = {
        path
        for path in OWNED
        if repository.run("diff", "--quiet", common, "HEAD", "--", path).returncode
    }
    if resumed:
        changed = _of_the_platform(repository, changed, ours, common, commit)
    theirs = {path for path in changed | unmerged if places.covers(path) or path in rewritten}
    kept_out = sorted(path for path in theirs | deleted if path not in ours)
    kept = sorted(theirs & ours)
    for path in unmerged - set(kept) - set(kept_out):
        if (text := _reapplied(repository, path, common, commit)) is not None:
            (repository.root / path).write_text(text)
            repository.output("add", "--", path)
    for path in kept_out:
        repository.output("rm", "--force", "--quiet", "--ignore-unmatch", "--", f":(literal){path}")
    for path in kept:
        repository.output("checkout", "--quiet", "HEAD", "--", f":(literal){path}")
    return Merged(commit, tuple(kept_out), tuple(kept))


def _of_the_platform(
    repository: Repository, changed: set[str], ours: set[str], common: str, commit: str
) -> set[str]:
    """Choose the staged paths that the platform or git changed, and no person.

    They are the platform's files that the fork does not have, and what git writes by itself: it
    may take a fork's file for the renamed one of a demonstration that the fork deleted.
    """
    differing = ("diff", "--name-only", "--no-renames", "-z")
    upstream = set(repository.paths(*differing, common, commit)) - ours
    done = repository.run("merge-tree", "--write-tree", "HEAD", commit)  # since git 2.38
    if done.returncode > 1:
        return changed & upstream
    tree = done.stdout.split("\n", 1)[0]
    return changed & (upstream | (changed - set(repository.paths(*differing, "--cached", tree))))


def _reapplied(repository: Repository, path: str, common: str, commit: str) -> str | None:
    """The platform's new text with what ``loc init`` wrote; None if a person changed more."""
    name = fork_file.read(repository.root / "fork.toml").name
    own, before = repository.text_of("HEAD", path), repository.text_of(common, path)
    after = repository.text_of(commit, path)
    if path == start.PROJECT and own == start.named(before, name):
        return start.named(after, name)
    if path == start.SHARED and own == start.with_ports_of(own, before):
        return start.with_ports_of(own, after)
    return None


def _places(repository: Repository, commit: str) -> Demonstration:
    """The places that stay the fork's: none if the fork has the demonstration."""
    if fork_file.read(repository.root / "fork.toml").demonstration:
        return Demonstration()
    return demonstration.parse(
        repository.text_of("HEAD", demonstration.FILE)
    ) | demonstration.parse(repository.text_of(commit, demonstration.FILE))
