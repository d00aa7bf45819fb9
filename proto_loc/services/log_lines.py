"""Turns what a service writes into lines of JSON: ``python -I -S log_lines.py`` for its output.

A line that is JSON already gets the fields that it lacks. A traceback becomes one record. It ends
when every process of the service has closed its output, and ignores signals until then.
"""

import json
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

TRACEBACK = "Traceback (most recent call last):"
EVENT = re.compile(
    r"\S+ \S+ \S+ - dagster - (?P<level>[A-Z]+) - (?P<job>\w+) - (?P<run_id>[0-9a-f-]{36}) - "
    r"(?P<message>.*)"
)
"""An event of a run, as Dagster writes it; a run takes no other logger without a configuration."""
LONGEST = 500
"""Lines of a traceback that are kept."""


def records(lines: Iterable[str]) -> Iterator[dict]:
    """The fields of each record."""
    trace: list[str] = []
    for text in lines:
        text = text.rstrip("\r\n")
        if trace and len(trace) < LONGEST:
            trace.append(text)
            if not text.startswith((" ", "\t")):  # the error itself is the last line
                yield {"level": "error", "message": text, "exception": "\n".join(trace)}
                trace = []
        elif text == TRACEBACK:
            trace = [text]
        elif text.strip():
            yield _record(text)
    if trace:
        yield {"level": "error", "message": trace[-1], "exception": "\n".join(trace)}


def _record(text: str) -> dict:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        event = EVENT.fullmatch(text)
        return (
            {**event.groupdict(), "level": event["level"].lower()} if event else {"message": text}
        )
    if "message" not in fields:  # Dagster's and dbt's records have other names
        fields["message"] = fields.pop("event", "")
    fields = {name: value for name, value in fields.items() if value is not None}
    if "time" not in fields and "timestamp" in fields:
        fields["time"] = fields.pop("timestamp")
    if "level" not in fields and "error" in fields:
        fields["level"] = "error"
    return fields


def main() -> None:
    """Read lines from stdin until its end, and write records to stdout."""
    from proto_loc import logs

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    source = open(sys.stdin.fileno(), encoding="utf-8", errors="replace", newline="\n")  # noqa: SIM115
    for fields in records(source):
        print(logs.line(fields), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
