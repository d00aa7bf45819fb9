"""Saves the query of each chart of the bundle, which the API, CSV exports and reports run."""

import json

from superset.extensions import db
from superset.models.slice import Slice

from proto_loc.superset.bundle import queries


def save(chart: Slice) -> None:
    """Save the query of a chart; if it cannot be made, keep the one of its file.

    The time of the chart's last change stays, because this is not a change by a person.
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
        values["changed_on"] = table.c.changed_on  # otherwise it would be now
        db.session.execute(table.update().where(table.c.id == chart.id).values(values))
        db.session.expire(chart)
