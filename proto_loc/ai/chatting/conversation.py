"""``chat``: PandasAI on the marts; its SQL runs in the reader, its Python in the sandbox.

PandasAI gets the columns of the marts and, if ``LOC_LLM_SEND_ROWS`` allows it, their first rows. It
loads no table, and reaches its model through LiteLLM.
"""

import logging
import os
from base64 import b64encode
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from proto_loc import warehouse
from proto_loc.ai import context, llm, values
from proto_loc.ai.asking import queries
from proto_loc.ai.chatting import sandbox
from proto_loc.ai.text import clean
from proto_loc.errors import LocError
from proto_loc.metrics import marts

HEAD = 5
"""Rows of each table that the model gets."""


@dataclass
class Reply:
    """The result of one question, as a notebook shows it."""

    question: str
    value: object
    """Text, a number, a pandas DataFrame, or the bytes of a PNG."""
    type: str
    code: str
    """The program that the model wrote."""
    queries: list[str]
    refused: list[str]
    version: int
    published_at: str

    def __str__(self) -> str:
        shown = (
            f"a picture of {len(self.value):,} bytes" if self.type == "plot" else str(self.value)
        )
        lines = [shown, *(f"refused: {what}" for what in self.refused)]
        return "\n".join(
            [*lines, f"data: version {self.version} of prod, published {self.published_at}"]
        )

    __repr__ = __str__

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """A plot as an image, a DataFrame as an escaped table, anything else as plain text."""
        bundle = {"text/plain": str(self)}
        if self.type == "plot":
            bundle["image/png"] = b64encode(self.value).decode()
        elif self.type == "dataframe":
            bundle["text/html"] = self.value.to_html(index=False, max_rows=60, escape=True)
        return bundle


class Chat:
    """Conversation about the version that is published when it begins."""

    def __init__(self, limits: sandbox.Limits | None = None) -> None:
        llm.model()
        if why := sandbox.unavailable():
            raise LocError(
                "The programs that a model writes cannot be run here.",
                why,
                "Use `ask`, which runs no program.",
            )
        self.version = warehouse.current("prod").verify()
        self.reader = queries.reader_of(self.version)
        self.agent, self.box = _agent(self.version, self.reader, limits or sandbox.Limits())

    def __call__(self, question: str) -> Reply:
        """Ask a question; it may refer to an earlier one.

        Raises:
            LocError: the model or its program failed.
        """
        self.box.outcome, self.box.error = sandbox.Outcome("", None), None
        first, failure = not self.agent._state.memory.count(), ""
        try:
            response = self.agent.chat(question) if first else self.agent.follow_up(question)
            failure = str(getattr(response, "error", None) or "")
        except _Stop as stop:
            raise stop.error from None
        except Exception as error:  # PandasAI's own, of many kinds
            failure = f"{type(error).__name__}: {error}"
        outcome = self.box.outcome
        if self.box.error or not outcome.type:
            last = clean(failure).strip().splitlines()[-1:] or [""]
            raise self.box.error or LocError(
                "The model wrote no program that runs.",
                last[0][:300],
                "Ask differently, or use `ask`.",
            )
        value = outcome.value
        if outcome.type == "dataframe":
            value = values.frame(*value[:3])
        return Reply(
            question,
            value,
            outcome.type,
            self.agent.last_generated_code,
            outcome.queries,
            outcome.refused,
            self.version.id,
            self.version.published_at,
        )


def chat(question: str) -> Reply:
    """Ask one question; ``Chat()`` keeps a conversation."""
    return Chat()(question)


def _pandasai():
    """Import PandasAI without its telemetry."""
    os.environ["SCARF_NO_ANALYTICS"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MPLBACKEND", "Agg")
    import pandasai

    return pandasai


def _agent(version: warehouse.Version, reader, limits: sandbox.Limits):
    pai = _pandasai()
    from pandasai.agent.base import Agent
    from pandasai.config import Config
    from pandasai.llm.base import LLM
    from pandasai.sandbox import Sandbox

    published, sends = context.published(reader, version), llm.sends_rows()

    class Model(LLM):
        """Adapts :func:`llm.complete` to PandasAI's interface for models."""

        @property
        def type(self) -> str:
            return "litellm"

        def call(self, instruction, _=None) -> str:
            try:
                return llm.complete([{"role": "user", "content": instruction.to_string()}])
            except LocError as error:
                raise _Stop(error) from None

    class Box(Sandbox):
        """Adapts our sandbox to PandasAI's interface for sandboxes."""

        outcome = sandbox.Outcome("", None)
        error: LocError | None = None

        def start(self) -> None:
            self._started = True

        def stop(self) -> None:
            self._started = False

        def _exec_code(self, code: str, environment: dict) -> dict:
            self.error = None
            try:
                self.outcome = sandbox.run(code, reader, limits)
            except LocError as error:
                self.error = error
                raise _Shown(_told(error)) from None
            value = self.outcome.value
            if self.outcome.type == "dataframe":
                value = values.frame(*value[:3])
            elif self.outcome.type == "plot":
                value = f"data:image/png;base64,{b64encode(value).decode()}"
            return {"type": self.outcome.type, "value": value}

    box = Box()
    manifest = context.definitions(version)
    tables = marts.tables(manifest, marts.marts(manifest))
    frames = [
        _table(pai, name, node, reader, sends)
        for name, node in published.tables.items()
        if name in tables
    ]
    if not frames:
        raise LocError(
            "There is no mart to ask about.",
            "dbt publishes no model of the folder or schema marts, and none with metrics.",
            "Add one in dbt/models/marts and run `loc refresh`.",
        )
    if sends:
        llm.announce(f"The first {HEAD} rows of each mart, and what errors quote,")
    # PandasAI makes a folder for charts in the current folder.
    with TemporaryDirectory() as folder, chdir(folder), _own_logging():
        agent = Agent(
            frames,
            config=Config(llm=Model(), save_logs=False, verbose=False, max_retries=1),
            sandbox=box,
        )
    return agent, box


class _Stop(BaseException):
    """A failure of the model; PandasAI does not catch it, so it does not ask three more times."""

    def __init__(self, error: LocError) -> None:
        super().__init__(str(error))
        self.error = error


class _Shown(Exception):
    """The text of a failure, which PandasAI sends to the model when it retries."""


def _told(error: LocError) -> str:
    bare = getattr(error, "bare", "")
    return bare if bare and not llm.sends_rows() else f"{error.what} {error.why}"


def _table(pai, name: str, node: dict, reader, sends: bool):
    """Make a PandasAI table of a mart: described columns and, if allowed, the first rows."""
    from pandasai.data_loader.semantic_layer_schema import Column, SemanticLayerSchema, Source

    columns = list(node["columns"])
    picked = ", ".join(f'"{column}"' for column in columns)
    head = values.frame(
        *values.load(reader.raw(f"select {picked} from {name} limit {HEAD if sends else 0}"))[:3]
    )
    head.columns = columns
    short = name.partition(".")[2]
    schema = SemanticLayerSchema(
        name=short,
        source=Source(type="parquet", path="data.parquet"),  # selects DuckDB's dialect in PandasAI
        description=node["description"],
        columns=[
            Column(name=column, description=description or None)
            for column, (_, description) in node["columns"].items()
        ],
    )
    return pai.DataFrame(head, schema=schema, _table_name=short)


@contextmanager
def _own_logging():
    """Keep PandasAI from logging to stderr: it does so only in a process without a log handler."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
