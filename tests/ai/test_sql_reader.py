"""The SQL reader after an interrupt: the next query gets its own answer."""

import signal
import threading
import time

import pytest


def test_an_interrupted_question_does_not_answer_the_next_one(reader):
    """The answer of the first was left in the pipe, and came as that of the second."""
    reader.raw("select 1")
    main = threading.main_thread().ident
    threading.Timer(1, signal.pthread_kill, [main, signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        reader.raw(
            "select count(*) as n from range(20000) a, range(20000) b where a.range * b.range %"
            " 7 = 3"
        )
    time.sleep(0.1)
    assert reader.raw("select 42 as answer")["rows"] == [[42]]
