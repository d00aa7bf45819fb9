"""Starts the supervisor of ``loc up -d`` again if it is killed, and continues it if it is stopped.

Run as ``python -I -S keeper.py NAMES COMMAND...``: only the standard library is imported, since it
stays in memory as long as the stack. A supervisor that exits by itself, or after a signal that asks
it to, ends this process too. A new supervisor that fails, for example on a full disk, is tried
again.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

STEADY = 10.0
"""Seconds that the first supervisor must have run to be started again, so that no loop begins."""
PAUSE, LONGEST = 2.0, 60.0
"""Seconds before the second start of a new supervisor; the double each time, up to the longest."""
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def command(names: Path, of_supervisor: Sequence[str]) -> list[str]:
    """Return the command of a keeper of this supervisor.

    Args:
        names: the file with the names of the processes to start; if it is empty, all of them.
    """
    return [sys.executable, "-I", "-S", __file__, str(names), *of_supervisor]


def main(names: Path, of_supervisor: list[str]) -> int:
    """Run the supervisor until it ends in an orderly way; return its exit code."""
    from proto_loc import services
    from proto_loc.services import launch

    marked = services.mark()
    child, asked = 0, False

    def pass_on(number: int, _: object) -> None:
        nonlocal asked
        asked = True
        if child:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(child, number)

    for number in ASKED:
        signal.signal(number, pass_on)
    pause, again = 0.0, False
    while not asked:
        start = time.monotonic()
        try:
            child = os.posix_spawn(
                of_supervisor[0], [*of_supervisor, *names.read_text().split()], os.environ
            )
        except OSError as error:  # too little memory, for example
            if not again:
                raise
            code, how = 1, f"cannot be started: {error.strerror}"
        else:
            if asked:  # meanwhile
                os.kill(child, signal.SIGTERM)
            code, child = _wait(child), 0
            how = f"has ended ({code})"
        is_steady = time.monotonic() - start >= STEADY
        failed = (code < 0 and -code not in ASKED) or (again and code > 0)
        if asked or not failed or not (again or is_steady):
            return code if code >= 0 else 128 - code
        with suppress(OSError):  # the disk may be full
            print(f"loc: the supervisor {how}: it is started again", file=sys.stderr)
        launch.end(lambda: launch.left(marked))
        again, pause = True, 0 if is_steady else min(2 * pause or PAUSE, LONGEST)
        end = time.monotonic() + pause
        while not asked and time.monotonic() < end:
            time.sleep(0.1)
    return 128 + signal.SIGTERM


def _wait(child: int) -> int:
    """Wait until the child ends; return its exit code, or minus its signal."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.kill(child, signal.SIGCONT)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
