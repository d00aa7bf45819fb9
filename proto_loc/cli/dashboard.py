"""``loc dashboard add``: makes a dashboard of a mart that has metrics."""

from typing import Annotated

import typer

NAME = "dashboard"
PANEL = "Services"
app = typer.Typer(help="Dashboards of your own.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Dashboards of your own."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of its files and address.")],
    model: Annotated[str, typer.Option(help="The mart, such as mart_shop_orders.")],
    title: Annotated[str, typer.Option(help="Its title; made from the name.")] = "",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="The metric of the figure and of the chart over time; a second one for the bars."
        ),
    ] = None,
    by: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the bars.")] = "",
) -> None:
    """Write a dashboard with up to three charts of a mart: a figure, over time, by a column.

    Edit its files in superset/bundle/, or change it in Superset and run `loc superset export`.

    Example: loc dashboard add sales --model mart_shop_orders --metric revenue --by country
    """
    from proto_loc.cli import _dashboard_add

    _dashboard_add.add(name, model, title=title, metrics=metric or [], by=by)
