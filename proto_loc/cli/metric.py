"""``loc metric add``: adds a metric to a mart that has metrics."""

from typing import Annotated

import typer

NAME = "metric"
PANEL = "Metrics"
app = typer.Typer(help="Metrics of your own.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Metrics of your own."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as average_price.")],
    model: Annotated[str, typer.Option(help="The mart, such as mart_shop_orders.")],
    sum_: Annotated[str, typer.Option("--sum", metavar="COLUMN", help="Sum of a column.")] = "",
    average: Annotated[str, typer.Option(metavar="COLUMN", help="Average of a column.")] = "",
    count: Annotated[str, typer.Option(metavar="COLUMN", help="Rows with a value there.")] = "",
    distinct: Annotated[
        str, typer.Option(metavar="COLUMN", help="Number of different values of a column.")
    ] = "",
    ratio: Annotated[
        str, typer.Option(metavar="A/B", help="Quotient of two metrics of the same mart.")
    ] = "",
    label: Annotated[str, typer.Option(help="What people see; made from the name.")] = "",
    description: Annotated[str, typer.Option(help="What it is, as a sentence.")] = "",
    format_: Annotated[
        str, typer.Option("--format", help="count, number, money or percent.")
    ] = "number",
    currency: Annotated[str, typer.Option(help="Of money: a code such as EUR.")] = "",
    decimals: Annotated[int | None, typer.Option(help="0 to 6; the format has a default.")] = None,
) -> None:
    """Add a metric to the file of its mart's metrics, and make the generated files.

    No line of the file changes. If dbt or Cube refuses the metric, the file stays as it was.

    Examples: loc metric add average_price --model mart_shop_orders --average price,
        loc metric add price_per_item --model mart_shop_orders --ratio revenue/items
    """
    from proto_loc.cli import _metric_add

    options = {
        "sum": sum_,
        "average": average,
        "count": count,
        "count_distinct": distinct,
        "ratio": ratio,
    }
    meta = {"format": format_, "currency": currency, "decimals": decimals}
    _metric_add.add(name, model, options, meta, label=label, description=description)
