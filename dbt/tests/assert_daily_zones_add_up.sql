-- The aggregate is the fact, summed: counts and money exactly.
with daily_zones as (

    select * from {{ ref('agg_daily_zone') }}

),

taxi_trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

daily as (

    select
        sum(trips) as trips,
        sum(total_amount) as total_amount
    from daily_zones

),

facts as (

    select
        count(*) as trips,
        sum(total_amount) as total_amount
    from taxi_trips

),

final as (

    select
        daily.trips,
        facts.trips as fact_trips,
        daily.total_amount,
        facts.total_amount as fact_total
    from daily
    cross join facts
    where
        daily.trips is distinct from nullif(facts.trips, 0)
        or daily.total_amount is distinct from facts.total_amount

)

select * from final
