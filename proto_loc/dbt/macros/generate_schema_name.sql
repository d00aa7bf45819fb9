{#- Schemas have the same names, such as `staging` and `marts`, in every target: readers of a
    published file rely on them. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
