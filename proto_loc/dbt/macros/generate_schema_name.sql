{#- Schemas are literally `staging` and `marts`, in every target: readers of a published file rely on the names. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
