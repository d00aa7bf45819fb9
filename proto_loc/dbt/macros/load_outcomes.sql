{#- The general table of outcomes, one row per active load and outcome.

    `loc` names the models that give verdicts (config.meta.verdicts) in LOC_VERDICTS, because dbt wants to know while
    it parses what a model reads. Where dbt runs by itself, the table is the published one. -#}
{% macro load_outcomes() -%}
    {%- if env_var('LOC_VERDICTS', 'unknown') == 'unknown' -%}
        select * from prod.marts.load_outcomes
    {%- else -%}
        {{ _load_outcomes() }}
    {%- endif -%}
{%- endmacro %}

{% macro _load_outcomes() -%}
    with active as (
        select * from {{ source('raw', 'loads') }} where active
    ),

    declared_rejects as (
        select * from {{ source('raw', 'rejects') }}
    ),

    verdicts as (
        {{ _verdicts() }}
    ),

    -- Tables whose verdicts come from models.
    judged_tables as (
        {{ _judged_tables() }}
    ),

    -- Tables whose runner puts rows that break the declaration aside; it accepts the others.
    declared_tables as (
        select distinct source, table_name from declared_rejects
    ),

    judged as (
        select load_id, reason, rows from declared_rejects where rows > 0
        union all
        select load_id, reason, rows from verdicts
        union all
        select active.load_id, cast(null as varchar) as reason, active.rows
        from active
        inner join declared_tables
            on active.source = declared_tables.source
            and active.table_name = declared_tables.table_name
        left join judged_tables
            on active.source = judged_tables.source
            and active.table_name = judged_tables.table_name
        where judged_tables.source is null
    ),

    counted as (
        select load_id, reason, cast(sum(rows) as bigint) as rows from judged group by load_id, reason
    ),

    audited_tables as (
        select source, table_name from judged_tables
        union
        select source, table_name from declared_tables
    ),

    tables_of_rejects as (
        select distinct load_id, table_name from declared_rejects
    ),

    loads as (
        select
            active.load_id,
            active.source,
            coalesce(tables_of_rejects.table_name, active.table_name) as table_name,
            active.partition,
            active.origin,
            active.input,
            active.loaded_at,
            active.rows as loaded,
            tables_of_rejects.load_id is not null as is_of_rejects,
            audited_tables.source is not null as is_audited
        from active
        left join tables_of_rejects on active.load_id = tables_of_rejects.load_id
        left join audited_tables
            on active.source = audited_tables.source
            and coalesce(tables_of_rejects.table_name, active.table_name) = audited_tables.table_name
    )

    select
        coalesce(loads.load_id, counted.load_id) as load_id,
        loads.source,
        loads.table_name,
        loads.partition,
        loads.origin,
        loads.input,
        loads.loaded_at,
        case
            when counted.reason is not null then counted.reason
            when counted.load_id is not null or loads.is_audited then 'accepted'
            else 'not audited'
        end as outcome,
        case
            when counted.load_id is not null then counted.rows
            when loads.is_audited then 0
            else loads.loaded
        end as rows,
        case
            when counted.load_id is null and not loads.is_audited then null
            when counted.reason is null then coalesce(counted.rows, 0)
            else 0
        end as accepted,
        case
            when counted.load_id is null and not loads.is_audited then null
            when counted.reason is null then 0
            else counted.rows
        end as rejected
    from loads
    full outer join counted on loads.load_id = counted.load_id
    -- Without a rejected row, a load of a table of rejects has no outcome.
    where counted.load_id is not null or not loads.is_of_rejects
{%- endmacro %}

{#- Rows of each load by reason, from every model that gives verdicts; a null reason means accepted. -#}
{% macro _verdicts() -%}
    {%- for name in env_var('LOC_VERDICTS', '').split(',') if name %}
        {%- set declared = _declared_verdicts(name) %}
        select
            cast({{ declared.get('load_id') }} as bigint) as load_id,
            cast({{ declared.get('reason', 'null') }} as varchar) as reason,
            cast({{ 'sum(' ~ declared.get('rows') ~ ')' if declared.get('rows') else 'count(*)' }} as bigint) as rows
        from {{ ref(name) }}
        group by 1, 2
        union all
    {%- endfor %}
        select cast(null as bigint) as load_id, cast(null as varchar) as reason, cast(null as bigint) as rows
        where false
{%- endmacro %}

{% macro _judged_tables() -%}
    {%- for name in env_var('LOC_VERDICTS', '').split(',') if name %}
        {%- for table in _declared_verdicts(name).get('tables', []) %}
        select '{{ table.split('.')[0] }}' as source, '{{ table.split('.')[1] }}' as table_name
        union
        {%- endfor %}
    {%- endfor %}
        select cast(null as varchar) as source, cast(null as varchar) as table_name where false
{%- endmacro %}

{% macro _declared_verdicts(name) -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.name == name and node.config.meta.verdicts -%}
            {{ return(node.config.meta.verdicts) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return({}) }}
{%- endmacro %}

{#- Every row of an audited load is either accepted or rejected, once. -#}
{% test accounts_for_every_row(model) %}
    with active as (
        select * from {{ source('raw', 'loads') }} where active
    ),

    outcomes as (
        {{ load_outcomes() }}
    ),

    accounted as (
        select load_id, cast(sum(rows) as bigint) as rows from outcomes group by load_id
    )

    select
        active.source,
        active.table_name,
        active.partition,
        coalesce(active.load_id, accounted.load_id) as load_id,
        active.rows as rows_loaded,
        accounted.rows as rows_accounted_for
    from active
    full outer join accounted on active.load_id = accounted.load_id
    where coalesce(active.rows, -1) <> coalesce(accounted.rows, 0)
        and not (active.rows = 0 and accounted.rows is null)
{% endtest %}
