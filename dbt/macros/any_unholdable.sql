{#- Whether any of the columns holds a value that the type cannot. -#}
{% macro any_unholdable(columns, type) -%}
    {%- for column in columns -%}
        {{ ' or ' if not loop.first }}({{ column }} is not null and try_cast({{ column }} as {{ type }}) is null)
    {%- endfor -%}
{%- endmacro %}
