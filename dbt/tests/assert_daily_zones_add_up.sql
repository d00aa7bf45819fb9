-- The aggregate is the fact, summed: counts and money exactly.
with daily as (

    select
        sum(trips) as trips,
        sum(total_amount) as total_amount
    from {{ ref('agg_daily_zone') }}

),

facts as (

    select
        count(*) as trips,
        sum(total_amount) as total_amount
    from {{ ref('fct_taxi_trips') }}

)

select
    daily.trips,
    facts.trips as fact_trips,
    daily.total_amount,
    facts.total_amount as fact_total
from daily
cross join facts
where daily.trips is distinct from nullif(facts.trips, 0) or daily.total_amount is distinct from facts.total_amount
