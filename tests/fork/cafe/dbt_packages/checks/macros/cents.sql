{% macro to_money(column) %}
    ({{ column }} / 100)::decimal(12, 2)
{% endmacro %}
