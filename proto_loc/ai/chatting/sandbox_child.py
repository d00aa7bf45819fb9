"""Runs one program of a model inside the sandbox, and returns its result as JSON.

:mod:`proto_loc.ai.chatting.sandbox` starts it as a script, with ``values.py`` beside it. Messages
(four bytes of length, then JSON) go over two pipes: descriptor 3 to the parent, 4 from it.
"""

import base64
import json
import math
import os
import resource
import struct
import sys
import traceback

import values

HEAD = struct.Struct(">I")
ROWS = 10_000
TEXT = 10_000


def send(message: dict) -> None:
    text = json.dumps(message).encode()
    view = memoryview(HEAD.pack(len(text)) + text)
    while view:
        view = view[os.write(3, view) :]


def exactly(size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = os.read(4, size - len(received))
        if not piece:
            os._exit(1)
        received += piece
    return bytes(received)


def receive() -> dict:
    return json.loads(exactly(HEAD.unpack(exactly(4))[0]))


def limit(limits: dict) -> None:
    for name in ("AS", "CPU", "FSIZE", "NPROC", "NOFILE", "CORE"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limits[name], limits[name]))


def execute_sql_query(sql_query: str):
    """Return the rows of a query, which the parent runs, as a pandas DataFrame."""
    send({"sql": str(sql_query)})
    answer = receive()
    if "error" in answer:
        raise RuntimeError(answer["error"])
    *table, truncated = values.load(answer)
    frame = values.frame(*table)
    frame.attrs["truncated"] = truncated
    return frame


def as_table(table) -> dict:
    import pandas as pd

    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
    if not isinstance(frame.index, pd.RangeIndex):
        named = [name is not None for name in frame.index.names]
        frame = frame.reset_index(drop=not any(named))
    cut = frame.head(ROWS)
    columns = [_plain(cut.iloc[:, at]) for at in range(cut.shape[1])]
    names = [
        "_".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in cut.columns
    ]
    return values.dump(names, list(zip(*columns, strict=True)), len(frame) > ROWS)


def _plain(column) -> list:
    import pandas as pd

    is_time = pd.api.types.is_datetime64_any_dtype(column)
    cells = [value.to_pydatetime() for value in column] if is_time else column.tolist()
    plain = (
        None if empty else value for value, empty in zip(cells, column.isna().tolist(), strict=True)
    )
    return [value.item() if hasattr(value, "item") else value for value in plain]


def picture(value) -> str:
    """The PNG file that the program wrote, or a PNG of its open figure, in base64."""
    import io

    import matplotlib.pyplot as plt

    if isinstance(value, str) and os.path.isfile(value):
        with open(value, "rb") as file:
            return base64.b64encode(file.read()).decode()
    out = io.BytesIO()
    figure = value if hasattr(value, "savefig") else plt.gcf()
    figure.savefig(out, format="png")
    return base64.b64encode(out.getvalue()).decode()


def told(result) -> dict:
    if not isinstance(result, dict) or "type" not in result or "value" not in result:
        raise TypeError("result must be a dictionary with the keys type and value")
    kind, value = result["type"], result["value"]
    if kind == "dataframe":
        return {"type": kind, "value": as_table(value)}
    if kind == "plot":
        return {"type": kind, "value": picture(value)}
    if kind == "number":
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, int):
            number = float(number)
        return {"type": kind, "value": number if math.isfinite(number) else str(number)}
    if kind == "string":
        return {"type": kind, "value": str(value)[:TEXT]}
    raise TypeError(f"result has an unknown type: {str(kind)[:50]}")


def program(code: str) -> dict:
    """The names that PandasAI promises to a program; matplotlib only where it is mentioned."""
    import numpy
    import pandas

    names = {
        "pd": pandas,
        "np": numpy,
        "execute_sql_query": execute_sql_query,
        "__name__": "__main__",
    }
    if "plt" in code or "matplotlib" in code or "plot" in code:
        os.makedirs("exports/charts", exist_ok=True)
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot

        names["plt"] = matplotlib.pyplot
    return names


def main() -> None:
    send({"ready": True})
    task = receive()
    limit(task["limits"])
    try:
        names = program(task["code"])
        exec(compile(task["code"], "<answer>", "exec"), names)
        if "result" not in names:
            raise TypeError("the program sets no result")
        result = told(names["result"])
        sys.stdout.flush()
        send({"result": result})
    except BaseException as error:
        line = next(
            (
                at.lineno
                for at in reversed(traceback.extract_tb(error.__traceback__))
                if at.filename == "<answer>"
            ),
            0,
        )
        send({"failed": type(error).__name__, "line": line, "said": str(error)[:TEXT]})
    os._exit(0)  # this also ends the threads that the program left behind


if __name__ == "__main__":
    main()
