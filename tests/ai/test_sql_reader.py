"""The SQL reader after an interrupted query: the next query gets its own answer."""

import signal
import threading
import time

import pytest


def test_an_interrupted_question_does_not_answer_the_next_one(reader):
    """Bug: the answer to the first query stayed in the pipe, and was returned for the
    second query.
    """
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
