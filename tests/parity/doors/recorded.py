"""The figures that the publish recorded in the database file, as an interface."""

from questions import Question

from proto_loc import warehouse
from proto_loc.metrics.figures import MONTH


class Recorded:
    """The table ``marts.metric_figures``."""

    def __enter__(self) -> "Recorded":
        self.con = warehouse.read("prod")
        return self

    def __exit__(self, *_: object) -> None:
        self.con.close()

    def answers(self, question: Question) -> bool:
        return question.condition is None

    def answer(self, question: Question) -> dict[str | None, object]:
        dimension = MONTH if question.grain else question.dimension or ""
        found = self.con.execute(
            "select value, figure from marts.metric_figures where metric = ? and dimension = ?",
            [question.metric, dimension],
        )
        return dict(found.fetchall())
