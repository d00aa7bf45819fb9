{#- Escapes a seed's path: dbt-duckdb does not, and a clone's folder may have an apostrophe in its
    name. -#}
{% macro duckdb__load_csv_rows(model, agate_table) %}
    {% if not config.get('fast', true) %}
        {{ return(dbt.duckdb__load_csv_rows(model, agate_table)) }}
    {% endif %}
    {% set path = adapter.get_seed_file_path(model) | replace("'", "''") %}
    {% set delimiter = config.get('delimiter', ',') | replace("'", "''") %}
    {% set sql %}
        copy {{ this.render() }} from '{{ path }}' (format csv, header true, delimiter '{{ delimiter }}')
    {% endset %}
    {% do adapter.add_query(sql, abridge_sql_log=True) %}
    {{ return(sql) }}
{% endmacro %}
