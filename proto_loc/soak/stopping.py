"""Stops a soak at the first Ctrl-C, and without waiting at the second."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signals(say: Callable[[str], None]) -> Iterator[Callable[[threading.Event], None]]:
    """Handle Ctrl-C and SIGTERM during the block; yield the function that takes what stops it.

    Before that function is called, a signal raises KeyboardInterrupt as usual. Then the first one
    sets the event, and each later one raises KeyboardInterrupt.
    """
    stops: list[threading.Event] = []

    def stop(*_: object) -> None:
        if not stops or stops[0].is_set():
            raise KeyboardInterrupt
        stops[0].set()
        say("Stopping; the time so far counts. Ctrl-C again does not wait for what is in flight.")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stops.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
