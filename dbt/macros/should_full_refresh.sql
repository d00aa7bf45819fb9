{#- dbt's own rule (the model's `full_refresh` config, else the flag), and: rebuild a table whose SQL has changed since
    it was built. `loc` compares each model's fingerprint with the published one and names those that changed. -#}
{% macro should_full_refresh() -%}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none -%}
        {{ return(configured) }}
    {%- endif -%}
    {{ return(flags.FULL_REFRESH or model.name in env_var('LOC_REBUILD', '').split(',')) }}
{%- endmacro %}
