"""The query that each chart of the bundle has saved, as a browser would save it: the API, CSV and
reports run it.
"""

import json

from superset.extensions import db
from superset.models.slice import Slice

from proto_loc.superset.bundle import queries


def save(chart: Slice) -> None:
    """Save the query that follows from a chart's parameters; one that cannot be made stays as its
    file has it.

    To the chart, this is no change by a person: the time of its last one stays.
    """
    params = json.loads(chart.params or "{}")
    temporal = sorted(column.column_name for column in chart.table.columns if column.is_dttm)
    params.update(queries.temporal_lookup(chart.viz_type, temporal))
    try:
        context = queries.context(chart.viz_type, params, temporal)
    except queries.Unmade:
        return
    form = {
        **params,
        "datasource": f"{chart.datasource_id}__{chart.datasource_type}",
        "viz_type": chart.viz_type,
        "slice_id": chart.id,
    }
    context |= {
        "datasource": {"id": chart.datasource_id, "type": chart.datasource_type},
        "form_data": form,
    }
    values = {"params": json.dumps(params), "query_context": json.dumps(context)}
    if values != {"params": chart.params, "query_context": chart.query_context}:
        table = Slice.__table__
        values["changed_on"] = table.c.changed_on  # else it would be now
        db.session.execute(table.update().where(table.c.id == chart.id).values(values))
        db.session.expire(chart)
