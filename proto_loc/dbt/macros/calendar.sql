{#- Dates in SQL that DuckDB and Trino both run: see docs/portable-sql.md. The names begin with loc, so
    that a fork may have a weekday_name of its own. -#}

{#- One row per day from `first` to `last`, written as 2025-12-31: the column `date_day`. -#}
{% macro loc_days(first, last) -%}
    {%- if last[:4] | int - first[:4] | int > 272 -%}
        {{ exceptions.raise_compiler_error(
            "loc_days counts 100,000 days, and there are more from " ~ first ~ " to " ~ last ~ ".") }}
    {%- endif -%}
    with digits as (
        select digit from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ten (digit)
    ),

    candidates as (
        select
            cast(
                date '{{ first }}' + interval '1' day * (
                    ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit
                    + 10000 * myriads.digit
                ) as date
            ) as date_day
        from digits as ones
        cross join digits as tens
        cross join digits as hundreds
        cross join digits as thousands
        cross join digits as myriads
    )

    select date_day
    from candidates
    where date_day <= date '{{ last }}'
{%- endmacro %}

{#- ISO weekday of a date or timestamp, 1 for Monday to 7 for Sunday, as an integer. `dow` of a
    Sunday is 0 in DuckDB and 7 in Trino. -#}
{% macro loc_iso_weekday(column) -%}
    cast((extract(dow from {{ column }}) + 6) % 7 + 1 as integer)
{%- endmacro %}

{#- English name of the weekday of a date or timestamp. -#}
{% macro loc_weekday_name(column) -%}
    case (extract(dow from {{ column }}) + 6) % 7 + 1
        when 1 then 'Monday'
        when 2 then 'Tuesday'
        when 3 then 'Wednesday'
        when 4 then 'Thursday'
        when 5 then 'Friday'
        when 6 then 'Saturday'
        when 7 then 'Sunday'
    end
{%- endmacro %}
