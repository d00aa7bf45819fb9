{#- For incremental models on raw loads. A load is one partition of a source's table. Once another
    load takes its place, or raw is rolled back, its rows must leave the model. -#}

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
