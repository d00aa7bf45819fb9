"""Measures JupyterLab and the features with a language model, without the model's own time.

A stand-in for the model answers at once. This module also runs as a program in the environment
``notebooks``, for measurements that need its packages.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import Measured, environment, run, seconds_of, timed
from benchmarks.llm import standin
from proto_loc import warehouse
from proto_loc.ai import prompts
from proto_loc.errors import LocError
from proto_loc.metrics.expressions import written
from proto_loc.settings import ROOT, environment_folder, settings
from proto_loc.setup import environments

PYTHON = environment_folder("notebooks") / "bin/python"
PROGRAMS = {
    "a query": (
        "rows = execute_sql_query('select count(*) as n from {table}')\n"
        "result = {{'type': 'number', 'value': int(rows.n[0])}}"
    ),
    "a plot": (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('chart.png')\n"
        "result = {{'type': 'plot', 'value': 'chart.png'}}"
    ),
}
"""Programs that a model may write, by their purpose, on the mart that the project has."""
BARE = """
import os, sys
os.environ["MPLBACKEND"] = "Agg"
from proto_loc import warehouse
con = warehouse.read("prod")
execute_sql_query = lambda sql: con.execute(sql).df()
exec(sys.argv[1])
print(result["type"])
"""
"""The lower bound: the same program runs in a plain process with the same rows."""

Report = Callable[[str], None]
"""Called with the name of the next measurement."""


@dataclass
class Figures:
    """The results, in seconds unless stated otherwise."""

    jupyter: list[float] = field(default_factory=list)
    """From the start of the service to its first answer."""
    imports: list[float] = field(default_factory=list)
    """Lower bound of ``jupyter``: one process imports the same modules."""
    memory: int = 0
    """Memory (PSS) of JupyterLab without a kernel, in bytes."""
    boxed: dict[str, list[float]] = field(default_factory=dict)
    """By program: its time in the sandbox."""
    bare: dict[str, list[float]] = field(default_factory=dict)
    """By program: its time in a plain process."""
    cold: list[float] = field(default_factory=list)
    """`loc ask` as a command."""
    warm: list[float] = field(default_factory=list)
    """``ask`` in a process that has asked before."""
    sql: list[float] = field(default_factory=list)
    """Lower bound of ``cold`` and ``warm``: the model's statement runs on a plain connection."""
    discover: float = 0
    """`loc discover`."""
    peak: int = 0
    """Peak memory of `loc discover` and its child processes, in bytes."""
    summarize: float = 0
    """Lower bound of ``discover``: DuckDB runs SUMMARIZE on the same marts."""


def measure(rows: int, folder: Path, *, prefix: str, repeat: int, report: Report) -> Figures:
    """Publish a sample in a separate data folder, and measure on it.

    Args:
        prefix: ``LOC_PORT_PREFIX`` of JupyterLab.

    Raises:
        LocError: no source has a sample, or a step failed.
    """
    from benchmarks import content  # the environment notebooks cannot import it

    done = Figures()
    environments.sync("notebooks")
    own = {"LOC_DATA": folder / "data", "LOC_RUN": folder / "run", "LOC_PORT_PREFIX": prefix}
    with environment(**own):
        report(f"load and publish {rows:,} rows")
        content.publish_sample(rows)
        mart, models = content.published_mart(), content.published_models()
    by = [written(dimension.of) for dimension in mart.dimensions[:1]]
    sql = f"{mart.select(mart.metrics[:1], *by)} group by all order by all"
    programs = {name: code.format(table=mart.table) for name, code in PROGRAMS.items()}
    with standin(lambda _: json.dumps({"sql": sql})) as server, environment(
        **own, LOC_LLM_MODEL="openai/standin", LOC_LLM_URL=server.url, NO_PROXY="127.0.0.1"
    ):  # fmt: skip
        report("JupyterLab")
        for _ in range(repeat):
            done.imports.append(
                timed(PYTHON, "-c", "import jupyterlab.labapp, jupyter_server.serverapp")
            )
            with _jupyter(done):
                pass
        report("`loc ask`, as a command")
        question = prompts.question((mart.model,))
        done.cold = [timed(ROOT / "loc", "ask", question) for _ in range(repeat)]
        report("the sandbox, and `ask` in one process")
        inside = json.loads(
            run(
                *(PYTHON, "-P", "-m", "benchmarks.ai", str(repeat), question, json.dumps(programs)),
                PYTHONPATH=str(ROOT),
            )
        )
        done.boxed, done.warm = inside["boxed"], inside["warm"]
        for name, code in programs.items():
            done.bare[name] = [
                timed(PYTHON, "-P", "-c", BARE, code, PYTHONPATH=str(ROOT)) for _ in range(repeat)
            ]
        with warehouse.read("prod") as con:
            done.sql = [seconds_of(lambda: con.execute(sql).fetchall()) for _ in range(repeat)]
            report("`loc discover`")
            done.summarize = sum(
                seconds_of(con.sql(f"summarize {model.schema}.{model.table}").fetchall)
                for model in models
            )
        with Measured() as measured, environment(LOC_LLM_MODEL=""):
            run(ROOT / "loc", "discover", "--json")
        done.discover, done.peak = measured.seconds, measured.peak
    return done


@contextmanager
def _jupyter(done: Figures) -> Iterator[None]:
    """Run the service during the block; record its start time, and its memory soon after."""
    import httpx
    import psutil

    from benchmarks.stack import _memory

    start = time.perf_counter()
    process = subprocess.Popen(
        [ROOT / "loc", "exec", "jupyter"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                httpx.get(
                    f"http://127.0.0.1:{settings().port('jupyter')}/api", trust_env=False
                ).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.perf_counter() - start > 90:
                    raise LocError(
                        "JupyterLab does not start.", "", "See: loc exec jupyter"
                    ) from None
                time.sleep(0.05)
        done.jupyter.append(time.perf_counter() - start)
        time.sleep(3)
        family = [parent := psutil.Process(process.pid), *parent.children(recursive=True)]
        done.memory = sum(_memory(one) for one in family if "jupyter" in " ".join(one.cmdline()))
        yield
    finally:
        process.terminate()
        process.wait(30)


def _inside(repeat: int, question: str, programs: dict[str, str]) -> dict:
    """Measure in the environment ``notebooks``."""
    from proto_loc.ai import ask
    from proto_loc.ai.asking import queries
    from proto_loc.ai.chatting import sandbox

    reader = queries.reader_of(warehouse.current("prod").path)
    boxed = {
        name: [seconds_of(lambda: sandbox.run(code, reader)) for _ in range(repeat)]  # noqa: B023
        for name, code in programs.items()
    }
    ask(question)
    return {"boxed": boxed, "warm": [seconds_of(lambda: ask("And now?")) for _ in range(repeat)]}


if __name__ == "__main__":
    print(json.dumps(_inside(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))))
