{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_superseded_loads() }}"
    )
}}

with audited_trips as (

    select * from {{ ref('int_taxi_trips_audited') }}

),

final as (

    select
        * exclude (
            has_missing_value, is_outside_month, is_dropoff_before_pickup, is_implausible_duration,
            is_implausible_distance, is_negative_fare, is_negative_total, is_unknown_zone,
            is_rejected, has_unholdable_value
        ),
        list_filter(
            [
                case when has_missing_value then 'missing value' end,
                case when is_outside_month then 'outside month' end,
                case when is_dropoff_before_pickup then 'drop-off before pick-up' end,
                case when is_implausible_duration then 'implausible duration' end,
                case when is_implausible_distance then 'implausible distance' end,
                case when is_negative_fare then 'negative fare' end,
                case when is_negative_total then 'negative total' end,
                case when is_unknown_zone then 'unknown zone' end
            ],
            lambda reason: reason is not null
        ) as reasons
    from audited_trips
    where
        is_rejected
        {% if is_incremental() %}
            and load_id in {{ missing_loads() }}
        {% endif %}

)

select * from final
