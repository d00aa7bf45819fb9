"""Runs git in a repository, and finds the commit that a fork was made from."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proto_loc import fork_file
from proto_loc.errors import LocError, UsageError

BRANCHES = ("upstream/HEAD", "upstream/main", "origin/HEAD", "origin/main")
"""Branches that may be the platform's own, in order."""


@dataclass(frozen=True)
class Repository:
    """A work tree of git."""

    root: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run git, whatever its exit code."""
        command = ["git", "-C", str(self.root), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")
        except FileNotFoundError as error:
            raise LocError(
                "git is not on PATH.", "What a fork has changed is read from git.", "Install git."
            ) from error

    def output(self, *arguments: str) -> str:
        """Run git and return its output.

        Raises:
            LocError: git failed; its message is the reason.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise LocError(
                f"`git {' '.join(arguments[:3])}` failed in {self.root}.",
                done.stderr.strip() or done.stdout.strip(),
                "Mend that, then run it again.",
            )
        return done.stdout

    def paths(self, *arguments: str) -> list[str]:
        """Run git with ``-z`` in its arguments, and return the paths that it prints."""
        return [path for path in self.output(*arguments).split("\0") if path]

    def commit(self, name: str) -> str:
        """The hash of the commit of that name; empty if there is none."""
        done = self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return done.stdout.strip()

    def files_of(self, commit: str) -> list[str]:
        """The paths of a commit."""
        return self.paths("ls-tree", "-r", "-z", "--name-only", commit)

    def changed_since(self, commit: str) -> set[str]:
        """The paths that differ between a commit and the work tree."""
        return set(self.paths("diff", "--name-only", "--no-renames", "-z", commit))

    def text_of(self, commit: str, path: str) -> str:
        """The text of a file in a commit; empty if the commit has no such file."""
        done = self.run("show", f"{commit}:{path}")
        return done.stdout if done.returncode == 0 else ""

    def base(self, chosen: str = "") -> tuple[str, str]:
        """The platform's commit that this fork has, and a text that says how it is known.

        ``loc init`` and ``loc fork merge`` write it into fork.toml. Before that, it is the last
        commit in common with the remote's branch, or else the first commit of all.

        Args:
            chosen: the name of the commit, from a person who knows it.

        Raises:
            UsageError: there is no commit, or none of that name.
        """
        if not self.commit("HEAD"):
            raise UsageError(
                f"{self.root} has no commit of git.",
                "What a person has changed since the platform was copied is read from git.",
                "git init && git add --all && git commit -m 'proto_loc as it came'",
            )
        if chosen:
            if not (commit := self.commit(chosen)):
                raise UsageError(f"git knows no commit {chosen!r}.", "", "Name another one.")
            return commit, f"commit {commit[:9]}, as you say"
        recorded = fork_file.read(self.root / "fork.toml").upstream
        if recorded and self.commit(recorded):
            return recorded, f"commit {recorded[:9]}, recorded in fork.toml"
        for branch in BRANCHES:
            common = self.run("merge-base", "HEAD", f"refs/remotes/{branch}").stdout.strip()
            if common:
                return common, f"commit {common[:9]} of {branch}"
        first = self.output("rev-list", "--max-parents=0", "HEAD").split()[-1]
        return first, f"the first commit, {first[:9]}"

    def strangers(self, base: str, covers: Callable[[str], bool]) -> list[str]:
        """Commits of content by people who never changed ``proto_loc/``, oldest first.

        Only those after the last commit that changed ``proto_loc/``. On a branch of ``origin``,
        they may be what the owner of a fork has pushed.

        Args:
            base: the last commit to look at.
            covers: whether a path is content.
        """
        changes = self.output("log", "--format=%H %ae", base, "--", "proto_loc/").splitlines()
        if not changes:
            return []
        known = {line.split(" ", 1)[1] for line in changes}
        last = changes[0].split(" ", 1)[0]
        options = ("--reverse", "--no-merges", "--format=%H %ae", f"{last}..{base}")
        listed = [line.split(" ", 1) for line in self.output("log", *options).splitlines()]
        naming = ("diff-tree", "--no-commit-id", "--name-only", "--no-renames", "-r", "-z")
        return [
            commit
            for commit, email in listed
            if email not in known and any(map(covers, self.paths(*naming, commit)))
        ]

    def require_clean(self, purpose: str) -> None:
        """Refuse to start on uncommitted changes.

        Raises:
            UsageError: git tracks a file that is changed.
        """
        if changed := self.paths("diff", "--name-only", "-z", "HEAD"):
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise UsageError(
                f"{purpose} starts from a commit, and {len(changed)} files are changed.",
                f"They are {', '.join(changed[:5])}{more}.",
                "git commit or git stash them first.",
            )
