"""Branches, tags and their content, by Nessie's REST interface (version 2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from proto_loc.trino import places
from proto_loc.warehouse.errors import WarehouseError

MAIN = "main"
PATIENCE = 10.0
"""Seconds for which a request is repeated while Nessie does not answer."""


class Moved(WarehouseError):
    """A branch or tag is no longer where the caller expected it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "A branch or tag of Nessie is elsewhere by now.",
            why,
            "Run the command again; if it stays so, find out who else writes to this Nessie.",
        )

    def __reduce__(self):
        return type(self), (self.why,)


@dataclass(frozen=True)
class Reference:
    """A branch or tag, and the commit that it is at."""

    name: str
    kind: str
    """``BRANCH`` or ``TAG``."""
    hash: str


def find(name: str) -> Reference | None:
    """A branch or tag; None if there is none of that name."""
    answer = _call("GET", f"trees/{quote(name, safe='')}", missing=True)
    return _reference(answer["reference"]) if answer else None


def head(name: str = MAIN) -> str:
    """The hash of the commit that a branch or tag is at.

    Raises:
        WarehouseError: there is no such branch or tag.
    """
    found = find(name)
    if found is None:
        raise WarehouseError(
            f"Nessie has no {name}.",
            "Its store is another one than the versions were published in, or it was emptied.",
            "Bring LOC_DATA or the database of LOC_NESSIE_DATABASE back from a copy.",
        )
    return found.hash


def references() -> list[Reference]:
    """All branches and tags."""
    return [_reference(item) for item in _paged("trees", "references")]


def create(name: str, kind: str, at: str) -> Reference:
    """Make a branch or tag at a commit.

    Raises:
        Moved: there is one of that name.
    """
    source = {"type": "DETACHED", "hash": at}
    answer = _call("POST", "trees", body=source, name=name, type=kind)
    return _reference(answer["reference"])


def assign(name: str, expected: str, to: Reference) -> None:
    """Move a branch to where another branch or tag is.

    Raises:
        Moved: the branch is not at ``expected``; nothing was moved.
    """
    target = {"type": to.kind, "hash": to.hash} | ({"name": to.name} if to.name else {})
    _call("PUT", f"trees/{_at(name, expected)}", body=target, type="BRANCH")


def empty(name: str) -> None:
    """Move a branch to where no table was made yet; its commits stay as long as tags name them.

    Raises:
        Moved: somebody else moves it.
    """
    start = _call("GET", "config")["noAncestorHash"]
    assign(name, head(name), Reference("", "DETACHED", start))


def delete(reference: Reference) -> None:
    """Remove a branch or tag; nothing happens if it is gone.

    Raises:
        Moved: it is elsewhere by now.
    """
    path = f"trees/{_at(reference.name, reference.hash)}"
    _call("DELETE", path, missing=True, type=reference.kind)


def remove(name: str) -> None:
    """Remove a branch or tag wherever it is; a statement of a killed writer may still move it.

    Raises:
        Moved: it moves on and on.
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(Moved),
        stop=stop_after_delay(PATIENCE),
        wait=wait_fixed(0.2),
        reraise=True,
    ):
        with attempt:
            if found := find(name):
                delete(found)


class Table(NamedTuple):
    """A table of a branch or tag; its state never changes, as a change has another file."""

    schema: str
    name: str
    metadata: str
    """The URI of its metadata file."""
    snapshot: int
    """Iceberg's id of its content; -1 before the first."""

    @property
    def folder(self) -> str:
        """The path of its folder, in the store of its URI."""
        return self.metadata.partition("://")[2].partition("/")[2].rpartition("/metadata/")[0]


def tables(name: str, at: str = "") -> Iterator[Table]:
    """All tables of a branch or tag, or of its commit ``at``."""
    path = f"trees/{_at(name, at) if at else quote(name, safe='')}/entries"
    for entry in _paged(path, "entries", content="true"):
        if entry["type"] == "ICEBERG_TABLE":
            *schema, table = entry["name"]["elements"]
            content = entry["content"]
            yield Table(".".join(schema), table, content["metadataLocation"], content["snapshotId"])


def drop(branch: str, expected: str, gone: Iterable[Table]) -> str:
    """Take tables off a branch, and return the hash of the commit; their files stay.

    Raises:
        Moved: the branch is not at ``expected`` and one of the tables was changed; none is gone.
    """
    keys = [{"elements": [*table.schema.split("."), table.name]} for table in gone]
    body = {
        "commitMeta": {"message": "drop"},
        "operations": [{"type": "DELETE", "key": key} for key in keys],
    }
    answer = _call("POST", f"trees/{_at(branch, expected)}/history/commit", body=body)
    return answer["targetBranch"]["hash"]


def _at(name: str, commit: str) -> str:
    return quote(f"{name}@{commit}", safe="@")


def _reference(item: dict) -> Reference:
    return Reference(item["name"], item["type"], item["hash"])


def _paged(path: str, key: str, **parameters: str) -> Iterator[dict]:
    while True:
        answer = _call("GET", path, **parameters)
        yield from answer[key]
        if not answer.get("hasMore"):
            return
        parameters["page-token"] = answer["token"]


@cache
def _client() -> httpx.Client:
    """One client, as making one takes longer than a request; no connection is kept, since Nessie
    may be started again, and this process may fork.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=60, trust_env=False, limits=limits)


def _call(
    method: str, path: str, *, body: dict | None = None, missing: bool = False, **parameters: str
) -> dict | None:
    """Send a request.

    Args:
        missing: return None where there is no such branch or tag.

    Raises:
        Moved: Nessie refuses, since a branch or tag is elsewhere, or there already.
        WarehouseError: Nessie does not answer, or says that it cannot do it.
    """
    url = f"{places.nessie_url()}/{path}"
    try:
        # A request that was sent may have been carried out, so only a failed connection is tried
        # again.
        for attempt in Retrying(
            retry=retry_if_exception_type(httpx.ConnectError),
            stop=stop_after_delay(PATIENCE),
            wait=wait_fixed(0.5),
            reraise=True,
        ):
            with attempt:
                answer = _client().request(method, url, json=body, params=parameters)
    except httpx.HTTPError as error:
        raise WarehouseError(
            f"Nessie does not answer at {places.nessie_url()} ({error}).",
            "It keeps the versions of prod.",
            f"See whether it runs with `loc status`; its log is {places.log('nessie')}.",
        ) from error
    if answer.status_code == 404 and missing:
        return None
    if answer.status_code == 409:
        raise Moved(answer.json().get("message", answer.text))
    if answer.is_error:
        raise WarehouseError(
            f"Nessie refuses {method} {url}.",
            f"It says {answer.status_code}: {answer.text.strip()[:500]}",
            f"See its log, {places.log('nessie')}.",
        )
    return answer.json() if answer.content else {}
