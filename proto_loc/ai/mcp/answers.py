"""Schemas of the answers of the MCP tools."""

from pydantic import BaseModel, Field

from proto_loc.metrics import formats

Value = bool | int | float | str | None


class Metric(BaseModel):
    name: str
    description: str
    format: str = Field(description=f"one of: {', '.join(formats.KINDS)}")


class Dimension(BaseModel):
    name: str
    description: str
    grain: str = Field(description="of a time dimension, the finest grain; empty for others")
    values: list[str] = Field(description="all values, where there are few")


class SemanticModel(BaseModel):
    name: str
    description: str
    table: str
    metrics: list[Metric]
    dimensions: list[Dimension]


class Metrics(BaseModel):
    version: int
    semantic_models: list[SemanticModel]


class Rows(BaseModel):
    columns: list[str]
    rows: list[list[Value]]
    truncated: bool = Field(description="whether there were more rows than these")
    version: int = Field(description="of the published data")
    published_at: str


class Table(BaseModel):
    name: str
    description: str
    rows: int | None
    columns: int


class Tables(BaseModel):
    version: int
    tables: list[Table]


class Column(BaseModel):
    name: str
    type: str
    description: str
    values: list[str] = Field(description="all values, where there are few")


class Columns(BaseModel):
    table: str
    description: str
    columns: list[Column]


class Load(BaseModel):
    table: str
    partition: str = Field(description="the part of the table that the load replaced")
    origin: str = Field(description="of the rows: a generated sample, or a file of records")
    rows: int | None
    loaded_at: str


class Freshness(BaseModel):
    version: int
    published_at: str
    published_hours_ago: float
    published_by: str
    origin: str = Field(description="of the data: a generated sample, or files of records")
    tests_passed: int
    tests_warned: int
    loads: list[Load]
    loads_waiting: int = Field(description="loads that are newer than what is published")


class Lineage(BaseModel):
    table: str
    description: str
    defined_in: str
    reads: list[str] = Field(description="what it is built from, directly")
    sources: list[str] = Field(description="the raw tables it comes from in the end")
    read_by: list[str] = Field(description="what is built from it")
    metrics: list[str] = Field(description="metrics that are measured on it")
