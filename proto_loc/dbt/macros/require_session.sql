{#- A build straight into `prod` would skip the audit and lock out readers, so it needs the write
    session of `loc`. -#}
{% macro require_session() -%}
    {%- if target.name == 'prod' and not env_var('LOC_SESSION', '') -%}
        {{ exceptions.raise_compiler_error(
            "The target prod is written in a publishing session only, which keeps readers on a tested "
            ~ "version. Run `loc dbt -- build --target prod`, or use the target dev.") }}
    {%- endif -%}
{%- endmacro %}
