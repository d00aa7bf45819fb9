{#- Whether a value of any of the columns does not fit the type. -#}
{% macro any_overflow(columns, type) -%}
    {%- for column in columns -%}
        {{ ' or ' if not loop.first }}({{ column }} is not null and try_cast({{ column }} as {{ type }}) is null)
    {%- endfor -%}
{%- endmacro %}
