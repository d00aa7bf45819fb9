{% macro days_since(column) %}
    date_diff('day', '{{ var("first_day") }}'::date, {{ column }})
{% endmacro %}
