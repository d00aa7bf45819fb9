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
        passenger_count,
        distance_miles,
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
        origin,
        month,
        source_row,
        source_file,
        load_id,
        loaded_at,
        duration_seconds,
        itemised_amount,
        total_check,
        -- An array of one or none of each rule, joined.
        case when has_missing_value then array['missing value'] else array[] end
        || case when is_outside_month then array['outside month'] else array[] end
        || case when is_dropoff_before_pickup then array['drop-off before pick-up'] else array[] end
        || case when is_implausible_duration then array['implausible duration'] else array[] end
        || case when is_implausible_distance then array['implausible distance'] else array[] end
        || case when is_negative_fare then array['negative fare'] else array[] end
        || case when is_negative_total then array['negative total'] else array[] end
        || case when is_unknown_zone then array['unknown zone'] else array[] end as reasons
    from audited_trips
    where
        is_rejected
        {% if is_incremental() %}
            and load_id in {{ missing_loads() }}
        {% endif %}

)

select * from final
