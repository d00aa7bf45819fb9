{#- What an incremental model over raw loads has to do before and while it adds rows. A load stands for one
    partition of one table; when another takes its place, or raw is rolled back, the rows of the old one must go. -#}

{% macro delete_superseded_loads() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where load_id not in (select load_id from {{ source('raw', 'loads') }} where active)
    {%- endif -%}
{%- endmacro %}

{% macro missing_loads() -%}
    (
        select load_id from {{ source('raw', 'loads') }}
        where active and load_id not in (select load_id from {{ this }})
    )
{%- endmacro %}
