"""PandasAI on the marts: what its model receives, where programs run, what a person sees."""

import json
import os
import subprocess
from pathlib import Path

import duckdb
import pytest
from samples import copy_sample

from benchmarks.llm import Fault, standin
from proto_loc.ai.chatting import sandbox
from proto_loc.settings import ROOT

SCRIPT = """
import json, os
from proto_loc.ai import Chat
from proto_loc.errors import LocError
chat = Chat()
for question in {questions!r}:
    try:
        reply = chat(question)
        value = reply.value.to_dict("records") if reply.type == "dataframe" else reply.value
        value = len(value) if reply.type == "plot" else value
        print(json.dumps([reply.type, value, reply.refused, str(reply)], default=str))
    except LocError as error:
        print(json.dumps(["error", error.said(), [], ""]))
print(json.dumps(os.listdir(".")))
"""

TABLE = """```python
sql = "select pickup_borough, count(*) as trips from mart_taxi_trips group by all order by 1"
df = execute_sql_query(sql)
result = {"type": "dataframe", "value": df}
```"""
PLOT = """```python
import matplotlib.pyplot as plt
df = execute_sql_query("select colour, count(*) as trips from mart_taxi_trips group by all")
plt.bar(df.colour, df.trips)
plt.savefig("temp_chart.png")
result = {"type": "plot", "value": "temp_chart.png"}
```"""
ZONE = 'zone = execute_sql_query("select max(pickup_zone) as z from mart_taxi_trips").z[0]\n'
LEAKS = {
    "quoted by an exception": "raise KeyError(zone)",
    "the name of an exception": "raise type(zone, (Exception,), {})()",
    "printed last before the program ends itself": (
        "import os\nprint(zone, flush=True)\nos._exit(3)"
    ),
    "printed last before the program crashes": (
        "import ctypes\nprint(zone, flush=True)\nctypes.string_at(0)"
    ),
    "a number that is none": "result = {'type': 'number', 'value': zone}",
    "a type that is none": "result = {'type': zone, 'value': 1}",
    "a result past the helper": (
        "import json, os, struct, time\n"
        "sent = json.dumps({'result': {'type': 'number', 'value': zone}}).encode()\n"
        "os.write(3, struct.pack('>I', len(sent)) + sent)\ntime.sleep(20)"
    ),
    "a cast that fails": 'execute_sql_query("select pickup_zone::int as n from mart_taxi_trips")',
    "an error that SQL makes up": (
        "execute_sql_query(\"select error('Binder Error: ' || pickup_zone) from mart_taxi_trips\")"
    ),
}
"""Programs that raise an error with a value of the data; the model is asked to correct
the error.
"""
SHELL = """```python
import os
df = execute_sql_query("select count(*) as n from mart_taxi_trips")
result = {"type": "string", "value": os.popen("id").read()}
```"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """Environment variables of a platform whose prod has a sample of 20,000 trips; no
    service runs.
    """
    home = tmp_path_factory.mktemp("platform")
    variables = {"LOC_DATA": str(home / "data"), "LOC_RUN": str(home / "run")}
    copy_sample(home, tmp_path_factory)
    return variables


def last_zone(platform) -> str:
    path = Path(platform["LOC_DATA"], "warehouse/prod/current/prod.duckdb")
    with duckdb.connect(str(path), read_only=True) as con:
        return con.sql("select max(pickup_zone) from marts.mart_taxi_trips").fetchone()[0]


@pytest.fixture
def talk(notebooks, platform, tmp_path):
    """Asks the questions of one conversation.

    It returns each reply, the files that remain in the working folder, and the stand-in.
    """
    if why := sandbox.unavailable():
        pytest.skip(why)

    def run(answers: list, *questions: str, **variables: str):
        with standin(answers) as server:
            env = (
                os.environ
                | platform
                | {
                    "LOC_LLM_MODEL": "openai/standin",
                    "LOC_LLM_URL": server.url,
                }
            )
            env |= {"PYTHONPATH": str(ROOT), **variables}
            done = subprocess.run(
                [notebooks, "-P", "-c", SCRIPT.format(questions=questions)],
                env=env, capture_output=True, text=True, cwd=tmp_path,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        *replies, files = [json.loads(line) for line in done.stdout.splitlines()]
        return replies, files, server, done.stderr

    return run


def test_tables_and_pictures_come_back_and_nothing_is_left_behind(talk):
    (table, plot), files, server, said = talk(
        [TABLE, PLOT], "Trips by borough", "Plot trips by colour"
    )
    assert table[0] == "dataframe" and sum(row["trips"] for row in table[1]) > 1500
    assert "data: version" in table[3]
    assert plot[0] == "plot" and plot[1] > 1000
    assert files == []
    assert said.count("LOC_LLM_SEND_ROWS=0") == 1 and "INFO" not in said
    assert "mart_taxi_trips" in server.received and "Jamaica Bay" in server.received


def test_no_value_is_sent_where_none_may_be(talk, platform):
    """The value is neither in the prompt nor in an error that the model is asked to correct.

    Each program has its question, and all questions are of one conversation.
    """
    answers = [answer for way in LEAKS for answer in (f"```python\n{ZONE}{LEAKS[way]}\n```", TABLE)]
    questions = [f"Trips by borough, {way}" for way in LEAKS]
    replies, _, server, said = talk(answers, *questions, LOC_LLM_SEND_ROWS="0")
    assert [reply[0] for reply in replies] == ["dataframe"] * len(LEAKS), replies
    assert len(server.requests) == 2 * len(LEAKS)
    assert "LOC_LLM_SEND_ROWS" not in said
    zone = last_zone(platform)
    pairs = zip(server.requests[::2], server.requests[1::2], strict=True)
    for way, requests in zip(LEAKS, pairs, strict=True):
        sent = json.dumps(requests, ensure_ascii=False)
        for value in (zone, "Jamaica Bay", "Boro Zone,", "synthetic,"):
            assert value not in sent, (way, value)
        assert "The program " in requests[1]["messages"][0]["content"], way
    assert "Jamaica Bay" not in server.received and zone not in server.received


def test_a_program_that_wants_more_than_the_box_is_told_what_was_refused(talk):
    (reply,), _, server, _ = talk([SHELL, SHELL], "Who am I?")
    assert reply[0] == "error" and "PermissionError" in reply[1]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([Fault(401)], "refuses the key"),
        (["I would rather not."] * 3, "wrote no program that runs"),
    ],
)
def test_a_model_that_gives_nothing_is_told_plainly(talk, answers, said):
    (reply,), _, _, _ = talk(answers, "Trips?")
    assert reply[0] == "error" and said in reply[1]
