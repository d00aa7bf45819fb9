"""Rows for dlt, which pauses in the middle of the download."""

import dlt
from phases import pause

NUMBER = dlt.sources.incremental("number", initial_value=0)


@dlt.resource(name="events")
def events(number=NUMBER):
    last = number.last_value
    yield [{"number": last + 1}]
    pause()
    yield [{"number": last + step, "text": "x" * 200_000} for step in range(2, 42)]
