{#- A reader may attach a published file by any name, so on prod a view names schema and table only:
    both are in the same file. -#}
{% macro ref() -%}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {{ return(relation.include(database=false) if target.name == 'prod' else relation) }}
{%- endmacro %}

{#- Tables of raw are on the session's branch, in schemas with another name. -#}
{% macro source() -%}
    {%- set relation = builtins.source(*varargs, **kwargs) -%}
    {{ return(_loc_registered(relation) if target.type == 'trino' else relation) }}
{%- endmacro %}

{% macro _loc_registered(relation) -%}
    {%- if relation.database == 'raw' -%}
        {{ return(relation.replace_path(database=target.database, schema='raw__' ~ relation.schema)) }}
    {%- endif -%}
    {{ return(relation) }}
{%- endmacro %}
