"""The source ``taxi``: a synthetic sample of New York taxi trips, and the user's own files."""

from pathlib import Path

from pipelines.taxi.schema import Colour, lake_schema, pickup
from proto_loc.sources import Table


class TaxiSource:
    """The trips as a source of the platform; see :class:`proto_loc.sources.Source`."""

    name = "taxi"
    sample_rows = 300_000
    tables = tuple(
        Table(
            f"{colour}_trips",
            lake_schema(colour),
            partition=f"month:{pickup(colour)}",
            first="2009-01",  # of TLC's records
            description=(
                f"Records of the {colour} taxis' meters, as loaded. A month is loaded from a file"
                " in `data/landing/` whose name says colour and month, else from the **synthetic**"
                " sample, which never replaces real records."
            ),
        )
        for colour in Colour
    )

    def fits(self, path: Path) -> bool:
        from pipelines.taxi import landing, zones
        from proto_loc.errors import LocError

        try:
            return not landing.left_out(path) and bool(
                zones.is_lookup(path) or landing.inspect(path)
            )
        except LocError:
            return False

    def pending(self) -> list[Path]:
        from pipelines.taxi import load

        return load.pending()

    def load_files(self, paths, **options):
        from pipelines.taxi import load

        return load.load_files(paths, **options)

    def load_landing(self, **options):
        from pipelines.taxi import load

        return load.load_landing(**options)

    def load_partitions(self, table, partitions, **options):
        from pipelines.taxi import load

        return load.load_months(Colour(table.removesuffix("_trips")), partitions, **options)

    def load_sample(self, rows=None, seed=None, **options):
        from pipelines.taxi import load

        return load.load_sample(
            self.sample_rows if rows is None else rows,
            load.SEED if seed is None else seed,
            **options,
        )


SOURCE = TaxiSource()
