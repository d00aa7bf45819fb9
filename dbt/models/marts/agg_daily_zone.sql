with taxi_trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

final as (

    select
        colour,
        pickup_at::date as pickup_date,
        pickup_zone_id,
        origin,
        count(*) as trips,
        sum(passenger_count)::bigint as passengers,
        sum(distance_miles) as distance_miles,
        sum(duration_seconds)::bigint as duration_seconds,
        sum(fare_amount)::decimal(18, 2) as fare_amount,
        sum(tip_amount)::decimal(18, 2) as tip_amount,
        sum(total_amount)::decimal(18, 2) as total_amount
    from taxi_trips
    group by colour, pickup_date, pickup_zone_id, origin

)

select * from final
