{#- A list, struct or map as text in JSON. Each engine has a function of its own for that, so that
    models name this macro alone. -#}
{% macro loc_json(column) -%}
    {{ return(adapter.dispatch('loc_json')(column)) }}
{%- endmacro %}

{% macro default__loc_json(column) -%}
    cast(to_json({{ column }}) as varchar)
{%- endmacro %}

{% macro trino__loc_json(column) -%}
    json_format(cast({{ column }} as json))
{%- endmacro %}
