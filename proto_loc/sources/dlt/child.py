"""Runs in dlt's environment: fetches a source into the folder of a load package.

It reads a job as one line of JSON from stdin, and writes messages as lines of JSON to stdout:
progress, then either the result or an error. It ends when stdin ends, since its parent is gone.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from proto_loc.sources.dlt import looking, loops, making, records, trouble

LOOKS = {"endpoint": looking.endpoint, "module": looking.module}
"""Kinds of jobs that only look, for an inspection."""


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the source prints goes to the log
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(message: dict) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        say({"result": LOOKS[job["kind"]](job) if job["kind"] in LOOKS else fetch(job, say)})
    except BaseException as error:
        import traceback

        traceback.print_exc()
        say(trouble.explain(error, job))
        out.flush()
        os._exit(1)
    os._exit(0)  # threads of a source may still wait for the network


def fetch(job: dict, say) -> dict:
    import dlt
    from dlt.common.runtime.collector import Collector

    class Progress(Collector):
        """Reports the number of rows, at most once a second."""

        def __init__(self) -> None:
            self.step, self.counts, self.last = "", {}, 0.0

        def update(self, name, inc=1, total=None, inc_total=None, message=None, label=""):
            if name in job["tables"]:
                self.counts[name] = self.counts.get(name, 0) + inc
            if time.monotonic() - self.last > 1:
                self.last = time.monotonic()
                rows = ", ".join(f"{rows:,} of {name}" for name, rows in self.counts.items())
                say({"progress": f"fetching {job['source']}: {rows or 'no rows yet'}"})

        def _start(self, step: str) -> None:
            self.step = step

        def _stop(self) -> None:
            self.step = ""

    folder = Path(job["folder"])
    loops.guard()
    source = making.make(job)
    records.restore(folder / "out", job["state"])
    pipeline = dlt.pipeline(
        f"loc_{job['source']}",
        destination=dlt.destinations.filesystem(bucket_url=(folder / "out").as_uri()),
        dataset_name=records.DATASET,
        pipelines_dir=str(folder / "pipelines"),
        progress=Progress(),
    )
    info = pipeline.run(source, loader_file_format="parquet")
    info.raise_on_failed_jobs()
    return records.result(folder, pipeline, source)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(2)


if __name__ == "__main__":
    main()
