"""Every row of every source is accounted for in each publish, or the publish is refused."""

import re
import shutil

import pytest
from clone import SHOP
from toy import Toy, make_toy, query

from proto_loc.cli import pipeline
from proto_loc.dbt.failures import BuildFailed
from proto_loc.settings import ROOT
from proto_loc.sources import Table
from proto_loc.sources.files import FileSource
from proto_loc.warehouse import store

pytestmark = pytest.mark.xdist_group("accounts")  # its tests go on from each other

TILL = FileSource(
    "till",
    [
        Table(
            *("sales", {"id": "BIGINT", "day": "DATE", "amount": "DECIMAL(9,2)"}, "sales*.csv"),
            *(("id",), "month:day"),
            rejects=True,
        )
    ],
)
SALES = (
    *("id,day,amount", "1,2025-02-01,1.5", "2,2025-02-03,none", "3,2025-03-01,2"),
    *("3,2025-03-02,2", "4,2025-03-02,nothing", "5,never,1"),
)
RULES = {
    "models/marts/rejected_orders.sql": (
        "select order_id, _load_id as load_id, 'dear' as reason"
        " from {{ source('shop', 'orders') }} where amount > 95"
    ),
    "models/marts/accepted_orders.sql": (
        "select _load_id as load_id, count(*) as orders from {{ source('shop', 'orders') }}"
        " where amount <= 95 group by all"
    ),
    "models/marts/verdicts.yml": """
models:
  - name: rejected_orders
    config: {meta: {verdicts: {tables: [shop.orders], load_id: load_id, reason: reason}}}
  - name: accepted_orders
    config: {meta: {verdicts: {tables: [shop.orders], load_id: load_id, rows: orders}}}
""",
}
BY_TABLE = (
    "select source, table_name, outcome, sum(rows)::int, sum(accepted)::int, sum(rejected)::int"
    " from marts.load_outcomes group by all order by all"
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    """A shop whose models judge its orders, and a till whose declaration judges its sales.

    It has the mart of the demonstration about quality, and is published once.
    """
    home = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        toy = make_toy(home, patch)
        for path in (ROOT / "dbt/models/marts").glob("mart_data_quality*"):
            shutil.copy(path, toy.project / "models/marts")
        toy.write(RULES)
        toy.sources["till"] = TILL
        toy.sources["shop"].load_files(
            sorted((SHOP / "files").iterdir()), who="test", report=lambda *_: None
        )
        toy.first = toy.load("till", [toy.file("sales.csv", *SALES)])
        yield toy


def test_every_row_of_every_table_is_accepted_or_rejected_or_said_to_be_neither(toy):
    assert query(BY_TABLE) == [
        ("shop", "customers", "not audited", 12, None, None),
        ("shop", "orders", "accepted", 170, 170, 0),
        ("shop", "orders", "dear", 10, 0, 10),
        ("till", "sales", "accepted", 2, 2, 0),
        ("till", "sales", "column amount", 2, 0, 2),
        ("till", "sales", "column day", 1, 0, 1),
        ("till", "sales", "key id", 1, 0, 1),
    ]
    ledger = query("select sum(rows)::int from main.loads where active", "raw")
    assert query("select sum(rows)::int from marts.load_outcomes") == ledger == [(198,)]


def test_the_quality_mart_and_its_metrics_know_all_sources(toy):
    """The mart of the demonstration has no word of it."""
    assert query(
        "select source, table_name, month::varchar, sum(rows_loaded)::int, sum(rows_audited)::int"
        " from marts.mart_data_quality where source = 'till' and outcome = 'accepted' group by all"
        " order by all"
    ) == [("till", "sales", "2025-02-01", 1, 1), ("till", "sales", "2025-03-01", 1, 1)]
    figures = dict(query("select metric, figure from marts.metric_figures where dimension = ''"))
    names = ("rows_loaded", "rows_audited", "rows_accepted", "rows_rejected")
    assert [figures[name] for name in names] == ["198", "186", "172", "14"]
    assert float(figures["rejected_share"]) == pytest.approx(14 / 186)


def test_the_last_table_of_a_load_says_what_is_not_audited(toy, capsys):
    toy.first.outcomes.clear()
    pipeline._close(toy.first)
    lines = capsys.readouterr().out.splitlines()
    rows = {tuple(cell.strip() for cell in line.split("│")[1:-1]) for line in lines}
    cells = {row[:4]: row[5:] for row in rows if len(row) == 8}
    assert cells["customers.csv", "shop", "customers", "all"] == ("12", "not audited", "")
    assert cells["sales.csv", "till", "sales_rejects", "sales.csv"] == ("4", "0", "4")
    assert cells["sales.csv", "till", "sales", "2025-03"] == ("1", "1", "0")
    assert cells["total", "", "", ""] == ("198", "172", "14")
    assert ("column amount", "2", "1.08%") in rows


def test_a_publish_with_a_row_that_has_no_verdict_or_two_is_refused_by_its_load(toy):
    """January loses rows, rows of February have two verdicts, and no row of March has one.

    The declaration names its tables, so a load without verdicts is not taken for unaudited.
    """
    before = store.versions("prod")
    month = "month(ordered_on)"
    changed = {
        "models/marts/accepted_orders.sql": f"case {month} when 1 then amount < 80 when 2 then"
        " amount < 98 else false end",
        "models/marts/rejected_orders.sql": f"amount > 95 and {month} < 3",
    }
    for name, rule in changed.items():
        end = " group by all" if "accepted" in name else ""
        toy.write({name: f"{RULES[name].partition('where ')[0]}where {rule}{end}"})
    with pytest.raises(BuildFailed) as refused:
        toy.refresh()
    toy.write(RULES)
    text = str(refused.value)
    assert "(proto_loc/dbt/models/marts/load_outcomes.yml)" in text
    rows = re.findall(r"table_name: (\w+), partition: ([\d-]+), .* rows_accounted_for: (\d+)", text)
    (january, february, march) = sorted(rows, key=lambda row: row[1])
    assert january[:2] == ("orders", "2025-01") and 0 < int(january[2]) < 60
    assert february[:2] == ("orders", "2025-02") and int(february[2]) > 60
    assert march == ("orders", "2025-03", "0")
    assert store.versions("prod") == before
