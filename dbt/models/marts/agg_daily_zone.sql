with taxi_trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

final as (

    select
        colour,
        cast(pickup_at as date) as pickup_date,
        pickup_zone_id,
        origin,
        count(*) as trips,
        cast(sum(passenger_count) as bigint) as passengers,
        sum(distance_miles) as distance_miles,
        cast(sum(duration_seconds) as bigint) as duration_seconds,
        cast(sum(fare_amount) as decimal(18, 2)) as fare_amount,
        cast(sum(tip_amount) as decimal(18, 2)) as tip_amount,
        cast(sum(total_amount) as decimal(18, 2)) as total_amount
    from taxi_trips
    group by colour, cast(pickup_at as date), pickup_zone_id, origin

)

select * from final
