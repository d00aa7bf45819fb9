{{ config(materialized='view') }}

select
    trips.trip_id,
    trips.colour,
    trips.pickup_at,
    trips.dropoff_at,
    trips.pickup_at::date as pickup_date,
    date_part('hour', trips.pickup_at)::integer as pickup_hour,
    isodow(trips.pickup_at)::integer as pickup_weekday,
    dayname(trips.pickup_at) as pickup_weekday_name,
    trips.duration_seconds,
    trips.duration_seconds / 60.0 as duration_minutes,
    trips.distance_miles,
    trips.passenger_count,
    trips.pickup_zone_id,
    pickup_zones.zone as pickup_zone,
    pickup_zones.borough as pickup_borough,
    pickup_zones.latitude as pickup_latitude,
    pickup_zones.longitude as pickup_longitude,
    trips.dropoff_zone_id,
    dropoff_zones.zone as dropoff_zone,
    dropoff_zones.borough as dropoff_borough,
    payment_types.payment_type,
    vendors.vendor,
    rate_codes.rate_code,
    trips.fare_amount,
    trips.extra_amount,
    trips.mta_tax,
    trips.tip_amount,
    trips.tolls_amount,
    trips.improvement_surcharge,
    trips.congestion_surcharge,
    trips.airport_fee,
    trips.cbd_congestion_fee,
    trips.total_amount,
    trips.total_check,
    trips.origin,
    trips.month
from {{ ref('fct_taxi_trips') }} as trips
left join {{ ref('dim_taxi_zones') }} as pickup_zones on trips.pickup_zone_id = pickup_zones.zone_id
left join {{ ref('dim_taxi_zones') }} as dropoff_zones on trips.dropoff_zone_id = dropoff_zones.zone_id
left join {{ ref('payment_types') }} as payment_types on trips.payment_type_id = payment_types.payment_type_id
left join {{ ref('vendors') }} as vendors on trips.vendor_id = vendors.vendor_id
left join {{ ref('rate_codes') }} as rate_codes on trips.rate_code_id = rate_codes.rate_code_id
