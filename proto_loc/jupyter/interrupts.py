"""Makes a kernel's Stop button end DuckDB's queries, so that the next cell can run.

At SIGINT, DuckDB 1.5.5 raises an error, but its threads go on with the query. The next statement of
that connection, and so the kernel, waits until they have finished it. That does not happen if the
connection is interrupted before the error is raised. Only the standard library is imported, to
keep the start of a kernel fast.
"""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress

PATIENCE = 0.5
"""Seconds after which a thread handles a signal, if the main thread is still busy in DuckDB."""

_stopped = threading.Event()


def install() -> None:
    """Handle SIGINT; called before each cell, because the kernel resets the handler."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) in _DEFAULT
    ):
        _stopped.clear()
        _watch()
        signal.signal(signal.SIGINT, _stop)


def interrupt_all() -> None:
    """Interrupt every DuckDB connection of this process; an idle one is not affected."""
    duckdb = sys.modules.get("duckdb")
    if duckdb is None:
        return
    # DuckDB has no list of its connections. A stop is rare, and the search takes some 10 ms.
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
    """Start the thread that listens for signals, if it does not run."""
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
