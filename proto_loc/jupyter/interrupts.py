"""How a kernel's Stop ends what DuckDB does, so that the next cell runs.

At SIGINT, DuckDB 1.5.5 raises out of its query and leaves its threads at work on it. The next
statement of that connection waits for them, and so does the kernel, until the query would have
ended by itself. A connection that is interrupted before the error is raised has none at work. Only
the standard library is imported: every kernel pays.
"""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress

PATIENCE = 0.5
"""Seconds after which a signal is taken up by a thread where the main one does not, as in a call of
DuckDB's.
"""

_stopped = threading.Event()


def install() -> None:
    """Take SIGINT where Python would raise KeyboardInterrupt; called before each cell, for a
    kernel sets it anew.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) in _DEFAULT
    ):
        _stopped.clear()
        _watch()
        signal.signal(signal.SIGINT, _stop)


def interrupt_all() -> None:
    """Interrupt every connection of this process; one that runs no statement is not changed by
    it.
    """
    duckdb = sys.modules.get("duckdb")
    if duckdb is None:
        return
    # DuckDB has no list of its connections. A stop is rare, and this takes hundredths of a second.
    objects = gc.get_referents(*gc.get_objects(), *sys._current_frames().values())
    connections = {
        id(item): item for item in objects if issubclass(type(item), duckdb.DuckDBPyConnection)
    }
    for connection in (*connections.values(), duckdb.default_connection()):
        with suppress(duckdb.Error):  # it is closed
            connection.interrupt()


def _stop(*_: object) -> None:
    _stopped.set()
    interrupt_all()
    raise KeyboardInterrupt


_DEFAULT = (signal.default_int_handler, _stop)


def _watch() -> None:
    """Have a thread that hears of signals, if there is none."""
    if any(thread.name == __name__ for thread in threading.enumerate()):
        return
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def listen() -> None:
        while numbers := os.read(heard, 4096):
            if signal.SIGINT in numbers and not _stopped.wait(PATIENCE):
                interrupt_all()
            _stopped.clear()

    threading.Thread(target=listen, name=__name__, daemon=True).start()
