"""Makes the HTML of the home page from the state of the platform."""

from datetime import UTC, datetime
from pathlib import Path

import jinja2

PURPOSES = {
    "Superset": "Dashboards, charts and SQL",
    "JupyterLab": "Notebooks",
    "Dagster": "Loads, runs and schedules",
    "dbt docs": "Models, columns and lineage",
}
"""What a page is for, by its title."""
TONES = {
    "ready": "good",
    "done": "good",
    "waiting": "busy",
    "failed": "bad",
    "off": "quiet",
    "SUCCESS": "good",
    "FAILURE": "bad",
    "CANCELED": "quiet",
}
"""How a state is shown; any other state of a run is on its way."""
ABSENT, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
WORDS = {"waiting": "starting", "SUCCESS": "done", "FAILURE": "failed", "CANCELED": "cancelled"}
STYLE = (Path(__file__).parent / "templates" / "style.css").read_text()


def render(template: str, **values) -> str:
    """Make a page from a template and its values."""
    return _PAGES.get_template(f"{template}.html").render(**values)


def database(state: dict | None, name: str) -> dict | None:
    """A database of the state."""
    return next((row for row in (state or {}).get("databases", ()) if row["name"] == name), None)


def version(published: dict | None, number: int | None) -> dict | None:
    """A version of a database of the state."""
    return next((row for row in (published or {}).get("versions", ()) if row["id"] == number), None)


def changes(before: dict, after: dict) -> list[tuple[str, int | None, int | None]]:
    """Tables with another number of rows in another version, as (table, before, after)."""
    old, new = before["tables"], after["tables"]
    names = sorted(old.keys() | new.keys())
    return [
        (name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    ]


def verdict(state: dict | None, title: str) -> str:
    """The verdict on the service that has a page of this title; empty if it is not known."""
    states = (state or {}).get("services") or ()
    return next((row["verdict"] for row in states if title in row["pages"]), "")


def headline(state: dict) -> str:
    """The state of the services in one sentence."""
    states = state["services"]
    if states is None:
        return "The state of the services is not known"
    staying = [row for row in states if not row["once"]]
    off = sum(row["verdict"] == "off" for row in staying)
    failed = [row["name"] for row in states if row["verdict"] == "failed"]
    waiting = [row["name"] for row in states if row["verdict"] == "waiting"]
    if not states:
        return "Nothing is up"
    if failed:
        return f"{_listed(failed)} failed"
    if waiting:
        return f"{_listed(waiting)} {'is' if len(waiting) == 1 else 'are'} starting"
    if off:
        return f"{len(staying) - off} of {len(staying)} services are ready, the others are off"
    return f"All {len(staying)} services are ready"


def is_busy(state: dict) -> bool:
    """Whether something is on its way, so that the page soon shows another state."""
    waiting = any(row["verdict"] == "waiting" for row in state["services"] or ())
    return waiting or any(_tone(run["status"]) == "busy" for run in state["runs"] or ())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _difference(before: int | None, after: int | None) -> str:
    if before is None:
        return "new"
    return "removed" if after is None else f"{after - before:+,}".replace("-", MINUS)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _time(text: str | None) -> str:
    return f"{_moment(text).astimezone(UTC):%-d %b %Y, %H:%M} UTC" if text else ABSENT


def _span(seconds: float) -> str:
    """A duration in its largest unit."""
    for name, unit in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // unit)) >= 1:
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds:.0f} s"


def _ago(text: str | None, at: str) -> str:
    if not text:
        return "never"
    seconds = (_moment(at) - _moment(text)).total_seconds()
    return "just now" if seconds < 60 else f"{_span(seconds)} ago"


def _seconds(text: str) -> float:
    return _moment(text).timestamp()


def _tone(state: str) -> str:
    return TONES.get(state, "busy")


def _word(state: str) -> str:
    return WORDS.get(state, state.lower().replace("_", " "))


_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_PAGES.filters |= {
    "ago": _ago,
    "number": _number,
    "seconds": _seconds,
    "size": _size,
    "span": _span,
    "time": _time,
    "tone": _tone,
    "word": _word,
}
_PAGES.globals |= {
    "changes": changes,
    "compare": lambda rows: [(row["table"], row["before"], row["after"]) for row in rows],
    "database": database,
    "difference": _difference,
    "headline": headline,
    "is_busy": is_busy,
    "purposes": PURPOSES,
    "verdict": verdict,
    "version": version,
}
