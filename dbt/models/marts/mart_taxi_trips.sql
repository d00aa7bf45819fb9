{{ config(materialized='view') }}

with trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

pickup_zones as (

    select * from {{ ref('dim_taxi_zones') }}

),

dropoff_zones as (

    select * from {{ ref('dim_taxi_zones') }}

),

payment_types as (

    select * from {{ ref('payment_types') }}

),

vendors as (

    select * from {{ ref('vendors') }}

),

rate_codes as (

    select * from {{ ref('rate_codes') }}

),

final as (

    select
        trips.trip_id,
        trips.colour,
        trips.pickup_at,
        trips.dropoff_at,
        cast(trips.pickup_at as date) as pickup_date,
        cast(extract(hour from trips.pickup_at) as integer) as pickup_hour,
        {{ loc_iso_weekday('trips.pickup_at') }} as pickup_weekday,
        {{ loc_weekday_name('trips.pickup_at') }} as pickup_weekday_name,
        trips.duration_seconds,
        cast(trips.duration_seconds as double) / 60 as duration_minutes,
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
    from trips
    left join pickup_zones on trips.pickup_zone_id = pickup_zones.zone_id
    left join dropoff_zones on trips.dropoff_zone_id = dropoff_zones.zone_id
    left join payment_types on trips.payment_type_id = payment_types.payment_type_id
    left join vendors on trips.vendor_id = vendors.vendor_id
    left join rate_codes on trips.rate_code_id = rate_codes.rate_code_id

)

select * from final
