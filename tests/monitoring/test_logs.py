"""Structured logs: whatever a service writes becomes one line of JSON a record."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proto_loc import logs, run_id
from proto_loc.cli._console import show_log
from proto_loc.home import processes
from proto_loc.services import log_lines
from proto_loc.settings import ROOT, settings

TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    f()
ValueError: no number"""

LAUNCHER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from proto_loc import services
from proto_loc.services import launch
services.SERVICES["talker"] = services.Service((sys.argv[1], sys.argv[2]))
sys.exit(launch.main("talker"))
"""
TALKER = """
import json, os, subprocess, sys
print("plain \\u00fc text")
print(json.dumps({"message": "own", "level": "warning", "run_id": "r1"}))
print(json.dumps({"event": "of Dagster", "timestamp": "2026-01-01T00:00:00"}))
print("[1, 2]")
subprocess.run(["sh", "-c", "echo of a child"])
for number in range(20_000):
    print("line", number)
sys.stdout.flush()
raise ValueError("the end")
"""


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_all_that_a_service_writes_is_json_until_its_last_word(data, tmp_path):
    """Nothing is lost where the service crashes, and its exit code stays."""
    talker = tmp_path / "talker.py"
    talker.write_text(TALKER)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, sys.executable, talker],
        env=os.environ | {"LOC_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and done.stderr == ""
    first, own, dagsters, odd, child, *numbers, crash = records(done.stdout)
    assert (first["message"], first["level"], first["process"]) == (
        "plain ü text",
        "info",
        "talker",
    )
    assert (own["message"], own["level"], own["run_id"]) == ("own", "warning", "r1")
    assert (dagsters["message"], dagsters["time"]) == ("of Dagster", "2026-01-01T00:00:00")
    assert (odd["message"], child["message"]) == ("[1, 2]", "of a child")
    assert [record["message"] for record in numbers] == [f"line {n}" for n in range(20_000)]
    assert (crash["message"], crash["level"]) == ("ValueError: the end", "error")
    assert crash["exception"].startswith(log_lines.TRACEBACK)


def test_a_traceback_is_one_record():
    kept = list(log_lines.records([*TRACEBACK.splitlines(), "", "after", log_lines.TRACEBACK]))
    assert [record["message"] for record in kept] == [
        "ValueError: no number",
        "after",
        log_lines.TRACEBACK,
    ]
    assert kept[0]["exception"] == TRACEBACK


def test_an_event_of_a_run_of_dagster_has_its_fields():
    run = "647fec76-3df8-49a2-b0e0-cd5823580a7f"
    when = "2026-11-29 17:08:49 +0000 - dagster - "
    (record,) = log_lines.records([f"{when}ERROR - refresh - {run} - 30485 - dbt - STEP_FAILURE"])
    assert record == {
        "level": "error",
        "job": "refresh",
        "run_id": run,
        "message": "30485 - dbt - STEP_FAILURE",
    }


def test_a_record_has_its_run_and_its_exception(monkeypatch, capsys):
    monkeypatch.setenv("LOC_LOG_FORMAT", "json")
    monkeypatch.setenv(run_id.VARIABLE, "r2")
    logger = logging.getLogger("proto_loc.warehouse")
    monkeypatch.setattr(logging.getLogger("proto_loc"), "handlers", [])
    show_log()
    try:
        raise ValueError("no number")
    except ValueError:
        logger.exception("a load of %s", "x", extra={"version": 7, "database": "prod"})
    (record,) = records(capsys.readouterr().err)
    assert (record["level"], record["logger"]) == ("error", "proto_loc.warehouse")
    assert (record["run_id"], record["version"], record["database"]) == ("r2", 7, "prod")
    assert record["message"] == "a load of x" and "ValueError: no number" in record["exception"]


def test_text_is_the_default(monkeypatch):
    monkeypatch.delenv("LOC_LOG_FORMAT", raising=False)
    assert not logs.wants_json() and settings().log_format == "text"
    monkeypatch.setenv("LOC_LOG_FORMAT", "xml")
    with pytest.raises(Exception, match="must be one of text, json"):
        settings()


def test_the_end_of_a_structured_log_is_shown_as_text(tmp_path: Path):
    log = tmp_path / "cube.log"
    log.write_text('{"time": "t", "message": "no model"}\n')
    assert processes._last_line(log) == "Its log ends: no model"
