"""The interface of Superset's dataset YAML: its SQL, run directly on ``prod``."""

import yaml
from questions import Between, Equals, Filter, Question, key

from proto_loc import warehouse
from proto_loc.settings import ROOT


class Dataset:
    """The generated files of ``superset/bundle/datasets/``, and their SQL."""

    def __enter__(self) -> "Dataset":
        self.con = warehouse.read("prod")
        self.datasets: dict[str, dict] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self.con.close()

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        dataset = yaml.safe_load(
            (ROOT / f"superset/bundle/datasets/{question.model}.yaml").read_text()
        )
        (metric,) = (each for each in dataset["metrics"] if each["metric_name"] == question.metric)
        by = "''"
        if question.dimension:
            by = dataset["main_dttm_col"] if question.grain else question.dimension
            by = f"date_trunc('{question.grain}', {by})" if question.grain else by
        found = self.con.execute(
            f"select {by}, {metric['expression']} from {dataset['schema']}.{dataset['table_name']} "
            f"where {_where(question.condition, dataset)} group by 1"
        )
        return {key(value): figure for value, figure in found.fetchall()}


def _where(condition: Filter | None, dataset: dict) -> str:
    match condition:
        case Equals():
            return f"{condition.dimension} = '{condition.value}'"
        case Between():
            return (
                f"cast({dataset['main_dttm_col']} as date) between '{condition.first}' and"
                f" '{condition.last}'"
            )
    return "true"
