"""How a soak ends in haste, and what the docs print of it."""

import os
import re
import signal
import subprocess
import sys

import pytest

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.soak import ledger, soaking

HASTE = """
import threading, time
from proto_loc.doctor.finding import ok
from proto_loc.soak import soaking, stopping
from proto_loc.soak.load import Load, Stretch
from proto_loc.validate import steps

def endless():
    print("in flight", flush=True)
    time.sleep(600)

def ready(proof):
    proof.ready = {"cube"}
    yield ok("well")

def later(proof):
    if PLACE == "validation" and ran:
        endless()
    yield ok("well")

def run(self, seconds):
    ran.append(seconds)
    if PLACE == "load":
        threads = [threading.Thread(target=endless, daemon=True)]
        threads[0].start()
        self._join(threads)
    return Stretch(seconds=seconds)

ran, Load.run, steps.STEPS = [], run, {"a": ("A", ready), "b": ("B", later)}
with stopping.on_signals(lambda text: print(text, flush=True)) as begun:
    this, _ = soaking.soak(24, number=4, publish=False, new=True, say=lambda _: None, begun=begun)
print(f"{this.seconds:g} s, {this.runs[0].validations} validations", flush=True)
"""


@pytest.mark.parametrize("place", ["load", "validation"])
def test_a_second_ctrl_c_does_not_wait_for_what_is_in_flight(data, place: str):
    """A publish or a step of a validation may take minutes; what has run is saved all the same."""
    soak = subprocess.Popen(
        [sys.executable, "-c", HASTE.replace("PLACE", repr(place))],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with soak:
        assert soak.stdout.readline() == "in flight\n"
        soak.send_signal(signal.SIGINT)
        assert soak.stdout.readline().startswith("Stopping; the time so far counts.")
        with pytest.raises(subprocess.TimeoutExpired):
            soak.wait(1)
        soak.send_signal(signal.SIGINT)
        printed, _ = soak.communicate(timeout=30)
    assert printed == f"{soaking.CYCLE:g} s, 1 validations\n" and soak.returncode == 0
    assert ledger.find(24, new=False).seconds == soaking.CYCLE


def test_the_page_of_the_docs_has_only_hours_that_were_run(data, tmp_path, monkeypatch):
    page = tmp_path / "soak.md"
    monkeypatch.setattr(soaking, "PAGE", page)
    with pytest.raises(LocError, match="has no place for the figures"):
        soaking.check_docs()
    page.write_text("before\n<!-- loc soak: begin -->\nold\n<!-- loc soak: end -->\nafter\n")
    with pytest.raises(LocError, match="There is no soak yet"):
        soaking.last()
    soak = ledger.find(2, new=True)
    for seconds in (3600, 1800):
        soak.begin(20).seconds = seconds
    soak.save()
    soaking.write_docs(*soaking.last())
    text = page.read_text()
    assert text.startswith("before\n<!-- loc soak: begin -->\n\n**Soak of 1.50 hours: passed**\n")
    assert text.endswith("\n\n<!-- loc soak: end -->\nafter\n") and "\nold\n" not in text
    assert re.findall(r"\| (\d+\.\d) \|", text) == ["60.0", "30.0"]


def test_the_page_in_the_repository_has_its_place():
    soaking.check_docs()
