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
        trip_id,
        colour,
        vendor_id,
        pickup_at,
        dropoff_at,
        duration_seconds,
        distance_miles,
        passenger_count,
        rate_code_id,
        pickup_zone_id,
        dropoff_zone_id,
        payment_type_id,
        fare_amount,
        extra_amount,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        congestion_surcharge,
        airport_fee,
        cbd_congestion_fee,
        total_amount,
        total_check,
        origin,
        month,
        load_id
    from audited_trips
    where
        not is_rejected
        {% if is_incremental() %}
            and load_id in {{ missing_loads() }}
        {% endif %}

)

select * from final
