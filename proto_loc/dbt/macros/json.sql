{#- A list, struct or map as text in JSON. Each engine has a function of its own for that, so that
    models name this macro alone. Linters know no target. -#}
{% macro loc_json(column) -%}
    {%- if target is defined and target.type == 'trino' -%}
        json_format(cast({{ column }} as json))
    {%- else -%}
        cast(to_json({{ column }}) as varchar)
    {%- endif -%}
{%- endmacro %}
