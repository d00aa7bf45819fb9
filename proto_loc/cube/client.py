"""Client of Cube's REST API: signs tokens, lists members and runs queries."""

import difflib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
import jwt
import tenacity

from proto_loc import fork_file
from proto_loc.credentials import path, secret
from proto_loc.cube.conditions import OPERATORS, Condition, cube_filter
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.formats import CURRENCY
from proto_loc.settings import settings
from proto_loc.setup.node import MODEL

GRAINS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
"""The granularities of a time dimension."""
MAX_ROWS = 50_000
"""The maximum number of rows of one query."""
ALL_ROWS = {"all_rows": True}
"""Claims that see all rows: used by the user's own commands and notebooks."""
LONGEST = 10 * 365 * 86_400
"""The maximum lifetime of a token, in seconds."""
PATIENCE = 60.0
"""Seconds for which a query is repeated while Cube answers that it still works on it."""

Value = str | int | float | Decimal | bool | None


class _Working(Exception):
    """Cube has not finished the query yet."""


class NoSuchValue(UsageError):
    """No row has the value of a filter."""

    def __init__(self, member: "Member", value: str, known: list[str]) -> None:
        alike = {name.casefold(): name for name in known}
        near = [alike[name] for name in difflib.get_close_matches(value.casefold(), alike, n=3)]
        listed = near or known[:10]
        ellipsis = ", ..." if len(listed) < len(known) and not near else ""
        values = ", ".join(repr(name) for name in listed) + ellipsis
        super().__init__(
            f"No row has {value!r} as {member.short}.",
            f"{'Near it are' if near else 'The values are'}: {values}." if listed else "",
            f"Choose one of the values; they are listed by: loc query -m METRIC -d {member.short}",
        )


def token(claims: Mapping, seconds: float = 86_400) -> str:
    """Sign a token (JWT, HS256) for Cube that is valid for ``seconds``.

    Args:
        claims: the values of each claim of an access rule, such as ``{"regions": ["north"]}``, or
            :data:`ALL_ROWS`; a token without claims sees no rows.

    Raises:
        UsageError: no rule reads a claim, a claim is reserved, or the claims are not valid JSON.
        LocError: the rules or the secret cannot be read or made.
    """
    issued = int(time.time())
    if own := sorted({"iat", "exp", "nbf", "iss", "aud", "sub", "jti"} & set(claims)):
        raise UsageError(
            f"The claim {own[0]} is not yours to set.",
            "",
            "Leave it out; --hours sets how long the token is valid.",
        )
    if dict(claims) != ALL_ROWS and (unread := sorted(set(claims) - set(known := rules()))):
        raise UsageError(
            f"No rule reads the claim {unread[0]}.",
            f"A token with it sees no rows; rules read: {', '.join(known) or 'none'}.",
            "Correct the claim, or add it to config.meta.access of a mart, and run loc generate.",
        )
    try:
        json.dumps(dict(claims), allow_nan=False)
        ends = issued + int(min(seconds, LONGEST))
    except ValueError as error:
        raise UsageError(
            "The claims cannot be written as JSON.", f"{error}.", "Use texts, numbers and lists."
        ) from error
    return jwt.encode({**claims, "iat": issued, "exp": ends}, secret("cube"), algorithm="HS256")


def rules() -> dict[str, dict[str, str]]:
    """Read the access rules of Cube's model: claim → cube → dimension that the claim limits.

    Raises:
        LocError: a file of the model cannot be read.
    """
    import yaml

    rules_by_cube: dict[str, dict[str, str]] = {}
    folder = Path(os.environ.get("LOC_CUBE_MODEL") or MODEL)
    for file in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        try:
            for cube in (yaml.safe_load(file.read_text()) or {}).get("cubes") or []:
                for claim, dimension in ((cube.get("meta") or {}).get("access") or {}).items():
                    rules_by_cube.setdefault(claim, {})[cube["name"]] = dimension
        except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            raise LocError(
                f"{file} cannot be read as a model of Cube.",
                f"{type(error).__name__}: {error}.",
                "Correct it; a rule of access is written as meta: {access: {claim: dimension}}.",
            ) from error
    return rules_by_cube


@dataclass(frozen=True)
class Member:
    """A metric or a dimension, as Cube describes it."""

    name: str
    """Its full name, ``cube.member``."""
    title: str
    kind: str
    """Cube's type, such as ``number`` or ``sum`` (metric), ``string`` or ``time`` (dimension)."""
    description: str = ""
    format: str | None = None
    """``number``, ``currency`` or ``percent``, with the decimals, as in ``percent_1``."""
    currency: str = CURRENCY
    """ISO 4217 code, used with the format ``currency``."""

    @property
    def cube(self) -> str:
        return self.name.split(".")[0]

    @property
    def short(self) -> str:
        return self.name.split(".")[1]


@dataclass(frozen=True)
class Meta:
    """All metrics and dimensions, by full name."""

    metrics: Mapping[str, Member]
    dimensions: Mapping[str, Member]

    def time(self, cube: str) -> Member:
        """The first time dimension of a cube, by which ``--since`` and ``--until`` filter.

        Raises:
            UsageError: it has none.
        """
        for member in self.dimensions.values():
            if member.cube == cube and member.kind == "time":
                return member
        raise UsageError(
            f"{cube} has no time dimension.", "", "Leave out --since, --until and --grain."
        )

    def find(
        self, names: Iterable[str], where: Mapping[str, Member], cubes: Iterable[str] = ()
    ) -> list[Member]:
        """Find the members with these names; a short name must be unique among the cubes.

        Raises:
            UsageError: there is no such name, or several cubes have it.
        """
        among, matches = set(cubes), []
        for name in names:
            fits = [
                m
                for m in where.values()
                if name in (m.name, m.short) and (not among or m.cube in among)
            ]
            if len(fits) == 1:
                matches.append(fits[0])
                continue
            kind = "metric" if where is self.metrics else "dimension"
            if fits:
                raise UsageError(
                    f"{name} is the {kind} of several cubes.",
                    "",
                    f"Say which: {', '.join(m.name for m in fits)}.",
                )
            known = [m.short for m in where.values() if not among or m.cube in among]
            near = difflib.get_close_matches(name, known, n=3) or sorted(known)
            of = f" of {', '.join(sorted(among))}" if among else ""
            raise UsageError(
                f"There is no {kind} {name!r}{of}.", "", f"Choose from: {', '.join(near)}."
            )
        return matches


@dataclass(frozen=True)
class Question:
    """A query of metrics, in the short names that a person types."""

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    """A time dimension may have a grain, as in ``ordered_at:month``."""
    since: str = ""
    """First day, ``YYYY-MM-DD``."""
    until: str = ""
    """Last day, included."""
    where: tuple[str, ...] = ()
    """See :class:`Condition`; conditions with the same dimension and ``=`` are alternatives."""
    order: str = ""
    """A metric or dimension; with a minus in front, descending. Empty: by times and numbers, if
    there are any among the dimensions; else the largest value of the first metric first."""
    limit: int = MAX_ROWS

    def query(self, meta: Meta) -> dict:
        """Translate the question into Cube's query object.

        Raises:
            UsageError: a name, grain or condition is wrong, or the metrics are of several cubes.
        """
        if not self.metrics:
            names = ", ".join(metric.short for metric in meta.metrics.values())
            choice = f"Choose from: {names}." if names else fork_file.first_step()
            raise UsageError("No metric is asked for.", "", choice)
        asked_names = (self.metrics, self.dimensions)
        if twice := [name for names in asked_names for name in names if names.count(name) > 1]:
            raise UsageError(f"{twice[0]} is asked for twice.", "", "Leave one of them out.")
        if self.since and self.until and self.since > self.until:
            raise UsageError(
                f"The first day, {self.since}, is after the last one, {self.until}.",
                "",
                "Swap them.",
            )
        metrics = meta.find(self.metrics, meta.metrics)
        cubes = {metric.cube for metric in metrics}
        if len(cubes) > 1:
            names = ", ".join(metric.name for metric in metrics)
            raise UsageError(
                "These metrics are of several cubes.", f"{names}.", "Query each cube by itself."
            )
        (cube,) = cubes
        asked: dict = {
            "measures": [metric.name for metric in metrics],
            "limit": self.limit,
            "timezone": "UTC",
        }
        ordered = {metric.short: metric.name for metric in metrics}
        dimensions, times = [], {}
        for text in self.dimensions:
            name, _, grain = text.partition(":")
            (member,) = meta.find([name], meta.dimensions, cubes)
            ordered[member.short] = member.name
            if member.kind != "time":
                if grain:
                    raise UsageError(
                        f"{name} is not a time.", "", f"Leave out its grain, {grain!r}."
                    )
                dimensions.append(member.name)
            elif member.name in times:
                raise UsageError(
                    f"{member.short} is asked for by two grains.", "", "Ask for each by itself."
                )
            elif (grain or "day") in GRAINS:
                times[member.name] = {"dimension": member.name, "granularity": grain or "day"}
            else:
                raise UsageError(
                    f"{grain!r} is not a grain.", "", f"Choose from: {', '.join(GRAINS)}."
                )
        asked |= {"dimensions": dimensions, "timeDimensions": list(times.values())}
        asked["filters"] = self._filters(meta, cube)
        if self.order:
            name = self.order.removeprefix("-")
            if name not in ordered:
                raise UsageError(
                    f"{name!r} is not in the answer.",
                    "",
                    f"Order by one of: {', '.join(ordered)}; with - in front, descending.",
                )
            asked["order"] = [[ordered[name], "desc" if self.order.startswith("-") else "asc"]]
        elif any(meta.dimensions[name].kind == "number" for name in dimensions):
            # Hours in the order of the day; without it, Cube orders by the first metric.
            asked["order"] = [[name, "asc"] for name in (*times, *dimensions)]
        return asked

    def _filters(self, meta: Meta, cube: str) -> list[dict]:
        # Cube would read a date without a time as midnight.
        until = f"{self.until}T23:59:59.999999" if self.until else ""
        filters = [
            {"member": meta.time(cube).name, "operator": operator, "values": [time]}
            for time, operator in ((self.since, "afterOrOnDate"), (until, "beforeOrOnDate"))
            if time
        ]
        alike: dict[tuple[Member, str], list[Condition]] = {}
        for condition in map(Condition.parse, self.where):
            (member,) = meta.find([condition.name], meta.dimensions, [cube])
            alike.setdefault((member, condition.sign), []).append(condition)
        return filters + [
            cube_filter(member.name, member.kind, sign, conditions)
            for (member, sign), conditions in alike.items()
        ]


@dataclass(frozen=True)
class Answer:
    """The rows of an answer, by full name; numbers are an exact ``int`` or ``Decimal``."""

    columns: tuple[Member, ...]
    rows: list[dict[str, Value]]


class Cube:
    """Context manager of a connection to this platform's Cube.

    Args:
        claims: the claims that limit the rows, see :func:`token`; by default all rows.
    """

    def __init__(self, claims: Mapping = ALL_ROWS, timeout: float = PATIENCE) -> None:
        self.address = f"http://127.0.0.1:{settings().port('cube')}"
        self.claims = dict(claims)
        self.http = httpx.Client(base_url=self.address, timeout=timeout, trust_env=False)

    def __enter__(self) -> "Cube":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def meta(self) -> Meta:
        """Get all metrics and dimensions.

        Raises:
            LocError: Cube does not answer, or has no model.
        """
        metrics, dimensions = {}, {}
        for cube in self._ask("meta")["cubes"]:
            for members, where in ((cube["measures"], metrics), (cube["dimensions"], dimensions)):
                for item in members:
                    where[item["name"]] = Member(
                        item["name"],
                        item.get("shortTitle") or item["title"],
                        item["type"],
                        item.get("description") or "",
                        _format(item.get("format")),
                        item.get("currency") or CURRENCY,
                    )
        return Meta(metrics, dimensions)

    def load(self, query: Mapping, meta: Meta) -> Answer:
        """Run a Cube query object, such as that of :meth:`Question.query`.

        Raises:
            NoSuchValue: a filter on a text dimension has a value that no row has.
            LocError: Cube does not answer, refuses the query, or has no data yet.
        """
        self._check_values(query, meta)
        answer = self._ask("load", query=query)
        numbers = {name for name, member in meta.dimensions.items() if member.kind == "number"}
        numbers |= set(query["measures"])
        cut = [f"{item['dimension']}.{item['granularity']}" for item in query["timeDimensions"]]
        names = [*cut, *query["dimensions"], *query["measures"]]
        rows = [
            {name: _exact(row.get(name)) if name in numbers else row.get(name) for name in names}
            for row in answer["data"]
        ]
        return Answer(tuple(_column(name, meta) for name in names), rows)

    def _check_values(self, query: Mapping, meta: Meta) -> None:
        """Refuse a filter on a text that no row has: a typing error would give 0."""
        for item in query.get("filters", ()):
            member = meta.dimensions.get(item.get("member", ""))
            is_text = member is not None and member.kind == "string"
            if not is_text or item["operator"] not in OPERATORS.values():
                continue
            condition = {"member": member.name, "operator": "equals", "values": item["values"]}
            present = self._values(member, filters=[condition], limit=len(item["values"]))
            missing = [value for value in item["values"] if value not in present]
            if missing:
                raise NoSuchValue(member, missing[0], self._values(member))

    def _values(self, member: Member, **parts) -> list[str]:
        query = {
            "dimensions": [member.name],
            "order": [[member.name, "asc"]],
            "timezone": "UTC",
            **parts,
        }
        rows = self._ask("load", query=query)["data"]
        return [row[member.name] for row in rows if row[member.name] is not None]

    def _ask(self, path: str, **body) -> dict:
        try:
            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(_Working),
                stop=tenacity.stop_after_delay(PATIENCE),
                wait=tenacity.wait_fixed(0.05),
                reraise=True,
            ):
                with attempt:
                    return self._answer(self._send(path, body))
        except _Working:
            raise LocError(
                f"Cube has worked on the query for over {PATIENCE:g} s.",
                "",
                "Query less data, or see: ./loc logs cube",
            ) from None
        except httpx.HTTPError as error:
            raise LocError(
                f"Cube on {self.address} does not answer.",
                f"{type(error).__name__}: {error}.",
                "Start it with ./loc up -d --only cube, or see what is wrong: ./loc status",
            ) from error

    def _send(self, path: str, body: Mapping) -> httpx.Response:
        # The token is valid for this request only, in case another program listens on the port.
        headers = {"Authorization": token(self.claims, seconds=60)}
        if body:
            return self.http.post(f"/cubejs-api/v1/{path}", json=body, headers=headers)
        return self.http.get(f"/cubejs-api/v1/{path}", headers=headers)

    def _answer(self, response: httpx.Response) -> dict:
        try:
            answer = json.loads(response.content, parse_float=Decimal)
        except ValueError:
            answer = {"error": response.text.strip()[:500] or f"status {response.status_code}"}
        if response.status_code == 200 and answer.get("error") == "Continue wait":
            raise _Working
        if response.status_code == 200 and "error" not in answer:
            return answer
        why = str(answer.get("error", answer)).removeprefix("Error: ")
        if response.status_code == 403 and "Invalid token" in why:
            raise LocError(
                f"Cube on {self.address} refuses this platform's token.",
                f"{why}.",
                "Another clone's Cube may listen there. Compare LOC_RUN; its secret is"
                f" {path('cube')}.",
            )
        raise LocError(
            "Cube did not answer the query.",
            why,
            "" if "loc refresh" in why else "See: ./loc logs cube",
        )


def model_error() -> str:
    """Return the error in the model of the running Cube; empty without an error or a Cube."""
    try:
        answer = httpx.get(
            f"http://127.0.0.1:{settings().port('cube')}/readyz", timeout=5, trust_env=False
        ).json()
        return (
            f"{answer['model']['error']} (it serves {answer['model']['serving']})"
            if "model" in answer
            else ""
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""


def _format(declared: str | Mapping | None) -> str | None:
    """The name of a format; Cube sends a format with decimals as an object."""
    return declared.get("alias") if isinstance(declared, Mapping) else declared


def _column(name: str, meta: Meta) -> Member:
    known = meta.metrics.get(name) or meta.dimensions.get(name)
    if known:
        return known
    base, _, grain = name.rpartition(".")  # a time dimension with a grain
    return Member(f"{base}_{grain}", f"{meta.dimensions[base].title}, {grain}", "time")


def _exact(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    number = Decimal(value)  # also Infinity and NaN
    return (
        int(number)
        if number.is_finite() and number == number.to_integral_value() and "." not in value
        else number
    )
