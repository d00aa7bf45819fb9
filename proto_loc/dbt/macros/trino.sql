{#- What differs where the target is Trino with Iceberg tables in Nessie. That catalogue has no views, so
    a view becomes a table; `loc` drops those that only pass raw on before it publishes. A table is
    dropped and made anew, so that its files are in a folder of their own, which goes with its version. -#}

{% materialization table, adapter='trino' %}
    {{ return(_loc_new_table()) }}
{% endmaterialization %}

{% materialization view, adapter='trino' %}
    {{ return(_loc_new_table()) }}
{% endmaterialization %}

{% macro _loc_new_table() %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set grant_config = config.get('grants') -%}
    {{ run_hooks(pre_hooks) }}
    {%- do adapter.drop_relation(target_relation) -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, sql) }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {% do apply_grants(target_relation, grant_config, should_revoke=False) %}
    {% do persist_docs(target_relation, model) %}
    {{ return({'relations': [target_relation]}) }}
{% endmacro %}

{#- The columns of a unit test's input. -#}
{% macro trino__get_columns_in_relation(relation) -%}
    {{ return(dbt.trino__get_columns_in_relation(_loc_registered(relation))) }}
{%- endmacro %}

{% macro trino__collect_freshness(source, loaded_at_field, filter) -%}
    {{ return(dbt.default__collect_freshness(_loc_registered(source), loaded_at_field, filter)) }}
{%- endmacro %}

{#- An incremental model's new rows: dbt-trino would make a view of them for some strategies. -#}
{% macro get_incremental_tmp_relation_type(strategy, unique_key, language) -%}
    {{ return('table') }}
{%- endmacro %}
