"""Queries of Cube's REST API over all members that its metadata name, to compare two engines."""

from collections.abc import Iterator
from itertools import pairwise

import httpx

TEXTS = ["Queens", "a", "_%", "\\", "'", "?", "é", "NOT KNOWN", "Manhattan' or 1=1 --"]
"""Values of filters: some that rows have, and some that would break a statement."""
DAYS = ["2025-01-06", "2025-02-11"]
GRAINS = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"]


def queries(meta: dict) -> Iterator[dict]:
    """Yield the queries; the order of each answer is complete, unless it has one row."""
    for cube in meta["cubes"]:
        measures = [measure["name"] for measure in cube["measures"]]
        by_type: dict[str, list[str]] = {}
        for dimension in cube["dimensions"]:
            by_type.setdefault(dimension["type"], []).append(dimension["name"])
        yield from _plain(measures, by_type)
        yield from _times(measures, by_type)
        yield from _filters(measures, by_type)


def _plain(measures: list[str], by_type: dict[str, list[str]]) -> Iterator[dict]:
    dimensions = [name for names in by_type.values() for name in names]
    short = [name for name in dimensions if name not in by_type["time"]]
    for measure in measures:
        yield {"measures": [measure]}
        yield _ordered([measure], short[-2:])
    for dimension in short:
        yield _ordered(measures, [dimension])
        yield _ordered([], [dimension]) | {"limit": 3, "offset": 1, "total": True}
        order = [[measures[0], "desc"], [dimension, "desc"]]
        yield _ordered(measures[:1], [dimension]) | {"order": order, "limit": 5}
    for one, two in pairwise(short):
        yield _ordered(measures[:2], [one, two])
    times = by_type["time"]
    yield _ordered([], dimensions) | {"limit": 20}
    yield _ordered(measures, dimensions) | {"limit": 20}
    for time in times:
        yield _ordered(measures[:1], [time]) | {"limit": 20}


def _times(measures: list[str], by_type: dict[str, list[str]]) -> Iterator[dict]:
    for time in by_type["time"]:
        for grain in GRAINS:
            part = {"dimension": time, "granularity": grain, "dateRange": DAYS}
            asked = {"measures": measures, "timeDimensions": [part], "limit": 500}
            yield asked | {"order": [[time, "asc"]]}
            yield asked | {"order": [[time, "desc"]], "timezone": "America/New_York"}
        for days in (["2025-01-31", "2025-01-31"], ["2025-01-31T07:00:00", "2025-02-01T06:59:59"]):
            asked = {"timeDimensions": [{"dimension": time, "dateRange": days}]}
            yield asked | {"measures": measures}
        both = [DAYS, ["2025-02-12", "2025-03-20"]]
        part = {"dimension": time, "granularity": "week", "compareDateRange": both}
        yield {"measures": measures[:1], "timeDimensions": [part], "order": [[time, "asc"]]}
        for grain in ("month", "week"):
            part = {"dimension": time, "granularity": grain}
            dimension = by_type["string"][0]
            order = [[time, "asc"], [dimension, "asc"]]
            asked = {"measures": measures[:1], "dimensions": [dimension], "timeDimensions": [part]}
            yield asked | {"order": order}


def _filters(measures: list[str], by_type: dict[str, list[str]]) -> Iterator[dict]:
    by = by_type["string"][0]
    asked = _ordered(measures[:2], [by])
    for at, dimension in enumerate(by_type["string"]):
        text = TEXTS[at % len(TEXTS)]
        for operator in ("equals", "notEquals", "contains", "notContains", "startsWith"):
            yield asked | _where(dimension, operator, text)
        for operator in ("notStartsWith", "endsWith", "notEndsWith"):
            yield asked | _where(dimension, operator, text, "n")
        yield asked | _where(dimension, "equals", "Queens", text, None)
        yield asked | _where(dimension, "notEquals", "Queens", text)
        for operator in ("set", "notSet"):
            yield asked | _where(dimension, operator)
    for text in TEXTS:
        yield asked | _where(by, "contains", text)
        yield asked | _where(by, "equals", text)
    for dimension in by_type.get("number", []):
        for operator in ("equals", "notEquals", "gt", "gte", "lt", "lte"):
            yield asked | _where(dimension, operator, "7")
        yield asked | _where(dimension, "gt", "6.5")
        yield asked | _where(dimension, "equals", "1e0", "2", "12345678901234567890")
        yield asked | _where(dimension, "lt", "many")
    for time in by_type["time"]:
        for operator in ("inDateRange", "notInDateRange"):
            yield asked | _where(time, operator, *DAYS)
        for operator in ("beforeDate", "beforeOrOnDate", "afterDate", "afterOrOnDate"):
            yield asked | _where(time, operator, DAYS[0])
            yield asked | _where(time, operator, "2025-02-11T12:30:00.250")
        yield asked | _where(time, "set")
    for measure in measures:
        for operator, value in (("gt", "100"), ("lte", "1.5"), ("equals", "0"), ("set", None)):
            yield _ordered([measure], [by]) | _where(measure, operator, value)
    some = [_where(by, "contains", "a")["filters"][0], _where(by, "notSet")["filters"][0]]
    other = _where(by_type["string"][-1], "notEquals", "x'y")["filters"][0]
    yield asked | {"filters": [{"or": [*some, {"and": [some[0], other]}]}]}
    yield asked | {"filters": [{"and": [{"or": some}, other]}]}


def more() -> Iterator[dict | list[dict]]:
    """Yield queries of ``cube_model``: granularities, windows, joins, sub-queries, odd values."""
    march = ["2025-02-20", "2025-03-05"]
    windows = ["so_far", "of_a_week", "of_a_quarter", "to_date"]
    for grain in ("quarter_hour", "fortnight", "third", "odd", "fiscal", "sunday"):
        for member in ("events.at", "events.day"):
            part = {"dimension": "events.at", "granularity": grain}
            asked = {"measures": ["events.events", "events.revenue"], "timeDimensions": [part]}
            yield asked | _where(member, "inDateRange", *march) | {"order": [["events.at", "asc"]]}
    for window in windows:
        for grain in ("day", "week", "month"):
            part = {"dimension": "events.at", "granularity": grain, "dateRange": march}
            asked = {"measures": [f"events.{window}"], "timeDimensions": [part]}
            yield asked | {"order": [["events.at", "asc"]]}
        part = {"dimension": "events.at", "dateRange": march}
        yield {"measures": [f"events.{window}", "events.events"], "timeDimensions": [part]}
    by_place = [["events.place", "asc"]]
    for window in windows[:2]:
        part = {"dimension": "events.at", "granularity": "week", "dateRange": march}
        order = [["events.at", "asc"], *by_place]
        asked = {"measures": [f"events.{window}"], "timeDimensions": [part], "order": order}
        yield asked | {"dimensions": ["events.place"]}
    for dimensions in (["places.area"], ["events.place", "places.area"], ["places.earned"]):
        yield _ordered(["events.events", "events.mean", "events.kinds"], dimensions)
    yield _ordered(["places.places", "places.size", "events.revenue"], ["places.area"])
    yield _ordered(["places.size"], ["events.kind"])
    yield _ordered(["places.places"], ["events.kind"]) | _where("events.flag", "equals", "true")
    yield _ordered(["events.events"], ["events.kind"]) | {"segments": ["events.cheap"]}
    yield _ordered(["events.events", "events.revenue"], ["events.id"]) | {"ungrouped": True}
    for values in (["true"], ["false"], ["true", "false"], ["TRUE"], [None], ["maybe"]):
        for operator in ("equals", "notEquals"):
            yield _ordered(["events.events"], ["events.kind"]) | _where(
                "events.flag", operator, *values
            )
    for value in ("9007199254740993", "9007199254740993.0", "9.007199254740993e15", "-1"):
        for operator in ("equals", "notEquals", "gt", "lte"):
            yield _ordered(["events.events"], ["events.kind"]) | _where(
                "events.big", operator, value
            )
    for text in ("1.55", "1.550", "0.1e1", "99999999999999999999999999999999999999.5", "1;drop"):
        for member in ("events.price", "events.rate"):
            yield _ordered(["events.events"], ["events.kind"]) | _where(member, "gt", text)
    for first in ("2025-02-30", "yesterday", "0001-01-01", "9999-12-31", "2025-02-20T10:00:00Z"):
        yield EVENTS | _where("events.at", "afterDate", first)
    for member in ("events.day", "events.early", "events.first"):
        yield EVENTS | _where(member, "beforeOrOnDate", "2025-01-05")
    both = [{"dimension": "events.at", "granularity": "month"}]
    blend = [EVENTS, {"measures": ["events.revenue"]}]
    yield [one | {"timeDimensions": both, "order": [["events.at", "asc"]]} for one in blend]


EVENTS = {"measures": ["events.events"]}


def _ordered(measures: list[str], dimensions: list[str]) -> dict:
    order = [[name, "asc"] for name in dimensions]
    return {"measures": measures, "dimensions": dimensions, "order": order}


def _where(member: str, operator: str, *values: str | None) -> dict:
    part = {"member": member, "operator": operator}
    return {"filters": [part | ({"values": [*values]} if values != (None,) and values else {})]}


def plain(answer: httpx.Response) -> object:
    """Return what two engines have in common: the answer, or that it is refused."""
    if answer.status_code != 200:
        return answer.status_code
    content = answer.json()
    own = ("lastRefreshTime", "requestId", "dbType", "extDbType", "dataSource", "external")
    for result in content["results"]:
        for name in own:
            result.pop(name, None)
    return content
