"""Runs dlt in a child process of its own environment, and keeps secrets out of what it says."""

import json
import logging
import os
import subprocess
import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlsplit

from proto_loc import credentials
from proto_loc.errors import LocError, SourceError, disk_is_full
from proto_loc.settings import ROOT, environment_folder, private_folder, settings
from proto_loc.sources import Report, Table
from proto_loc.sources.dlt.declaration import Code, Rest, Sql

log = logging.getLogger("proto_loc.sources")

PYTHON = environment_folder("dlt") / "bin/python"
SWITCHES = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "WARNING",
    "PYTHONUNBUFFERED": "1",
}


class FetchError(LocError):
    """Nothing could be fetched; what was loaded before stays."""


@dataclass(frozen=True)
class Result:
    """What the child fetched."""

    tables: dict[str, list[str]]
    """Table → its Parquet files, relative to the folder."""
    parents: dict[str, str]
    """Table → the table in whose rows dlt found it."""
    state: dict[str, str]
    """dlt's records: path in its folder → text."""
    hints: dict[str, dict]
    """Table → what dlt knows of it: ``key``, ``cursor``, and the names in the source: ``name``, and
    ``names`` of columns."""


def secrets_of(where: Sql | Rest | Code) -> dict[str, str]:
    """The secrets that a declaration names, by name.

    Raises:
        LocError: a secret is missing; the message says where to put it.
    """
    if isinstance(where, Sql):
        names = [where.dsn]
    elif isinstance(where, Rest):
        values = map(str, where.auth.values())
        names = [v.removeprefix("secret:") for v in values if v.startswith("secret:")]
        names += [where.token] if where.token else []
    else:
        names = list(where.secrets.values())
    return {name: credentials.given(name) for name in names}


def fetch(
    source: str,
    where: Sql | Rest | Code,
    tables: Sequence[Table],
    folder: Path,
    state: Mapping[str, str],
    *,
    report: Report,
    lock: int | None = None,
    limit: int | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Result:
    """Fetch what is new into a folder.

    Args:
        state: dlt's records as the last fetch returned them; empty to fetch everything.
        lock: a descriptor that the child inherits, so that its lock lasts until the child ends.
        limit: number of pages or chunks of each resource, for an inspection.
        secrets: name → secret, default those of the declaration.

    Raises:
        FetchError: the server or the way to it is at fault, a secret is missing, or the environment
            cannot be installed.
        SourceError: the source's own code failed.
    """
    if secrets is None:
        try:
            secrets = secrets_of(where)
        except LocError as error:
            raise FetchError(error.what, error.why, error.fix) from error
    job = {
        "source": source,
        "kind": type(where).__name__,
        "where": asdict(where),
        "tables": {
            table.name: {
                "columns": table.columns,
                "key": table.key,
                "appends": table.partition == "file",
            }
            for table in tables
        },
        "folder": str(folder),
        "state": dict(state),
        "limit": limit,
        "secrets": dict(secrets),
    }
    return Result(**run(job, folder, report=report, locks=[lock] if lock is not None else []))


def run(job: dict, folder: Path, *, report: Report, locks: Sequence[int] = ()) -> dict:
    """Install dlt's environment, and run a job in it; return its result.

    Raises:
        FetchError, SourceError: see :func:`fetch`.
    """
    install()
    answer = _run(job["source"], job, folder, locks, report)
    if "result" in answer:
        return answer["result"]
    if answer.get("full") or disk_is_full(answer.get("why")):
        raise FetchError(
            f"{job['source']} could not be fetched: no space left on the disk of {folder}.",
            "Nothing was loaded; what was loaded before stays.",
            "Free some space (`loc db prune --now` removes old versions), then run it again: it"
            " starts where the last complete fetch ended.",
        )
    words = _words_of(job)
    hidden = [_hidden(answer.get(part, ""), words) for part in ("what", "why", "fix")]
    raise (SourceError if answer["kind"] == "source" else FetchError)(*hidden)


def install() -> None:
    """Install dlt's environment, unless it is up to date.

    Raises:
        FetchError: the installation failed; the launcher has printed the reason.
    """
    if subprocess.run([ROOT / "loc", "--sync", "dlt"], stdin=subprocess.DEVNULL).returncode:
        raise FetchError(
            "The environment of dlt cannot be installed.",
            "The lines above say what failed.",
            "Mend that, then run `loc setup dlt`.",
        )


def _run(source: str, job: dict, folder: Path, locks: Sequence[int], report: Report) -> dict:
    """Run the child with a job, and return its last message."""
    environment = {
        **os.environ,
        **SWITCHES,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "DLT_DATA_DIR": str(folder / "home"),
        "DLT_PROJECT_DIR": str(folder),
    }
    answer = {
        "kind": "fetch",
        "what": f"{source} could not be fetched.",
        "why": f"The process of dlt ended early; see {_log_file(source)}.",
        "fix": "Run it again: it starts where the last complete fetch ended.",
    }
    child = subprocess.Popen(
        [PYTHON, "-P", "-m", "proto_loc.sources.dlt.child"],
        cwd=folder, env=environment, pass_fds=locks, start_new_session=True,
        encoding="utf-8", errors="replace",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    full = threading.Event()
    logger = threading.Thread(target=_keep_log, args=(child, source, _words_of(job), full))
    logger.start()
    try:
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()  # it stays open: the child ends when this process does
        for line in child.stdout:
            if not line.endswith("\n"):
                break  # the process was killed
            message = json.loads(line)
            if "progress" in message:
                report(message["progress"], 0, 1)
            else:
                answer = message
        if child.wait() and "result" in answer:
            answer = {**answer, "kind": "fetch"}
            del answer["result"]
    finally:
        with suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        logger.join()
        child.stdout.close()
    if full.is_set() and "result" not in answer:
        answer["full"] = True
    return answer


def _log_file(source: str) -> Path:
    return settings().run / "logs" / f"dlt-{source}.log"


def _keep_log(
    child: subprocess.Popen, source: str, words: Sequence[str], full: threading.Event
) -> None:
    """Write what the child says to the log of the source, without the secrets.

    The lines are read to their end whatever can be written: a child that nobody reads would stop.

    Args:
        full: set if a line says that the disk is full.
    """
    path, file = _log_file(source), None
    with child.stderr, ExitStack() as opened:
        with suppress(OSError):
            private_folder(path.parent)
            file = opened.enter_context(path.open("wb", buffering=0))
        for line in child.stderr:
            if disk_is_full(line):
                full.set()
            with suppress(OSError):
                if file:
                    file.write(_hidden(line, words).encode())


def _words_of(job: dict) -> list[str]:
    """The words of a job that nobody may read: its secrets, in each form that they take."""
    secrets = job["secrets"].values()
    words, users = set(), {""}
    for secret in secrets:
        words |= {secret, *secret.splitlines()}
        with suppress(ValueError):
            url = urlsplit(secret)
            words.add(url.password or "")
            users.add(url.username or "")
    words |= {unquote(word) for word in words}
    user = str((job.get("auth") or job.get("where", {}).get("auth") or {}).get("username", ""))
    users |= {user, job["secrets"].get(user.removeprefix("secret:"), "")}
    basic = {
        b64encode(f"{unquote(user)}:{word}".encode()).decode()
        for user in users
        for word in words
        if word
    }
    words |= {form(word) for word in words for form in (quote, quote_plus, _quote_all, json.dumps)}
    words = {word.strip('"') for word in words}
    return sorted({*(w for w in words if len(w) >= 4), *basic}, key=len, reverse=True)


def _quote_all(word: str) -> str:
    return quote(word, safe="")


def _hidden(text: str, words: Sequence[str]) -> str:
    """Replace words in a text by asterisks."""
    for word in words:
        text = text.replace(word, "***")
    return text
