{#- A reader may attach a published file by any name, so on prod a view names schema and table only:
    both are in the same file. -#}
{% macro ref() -%}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {{ return(relation.include(database=false) if target.name == 'prod' else relation) }}
{%- endmacro %}
