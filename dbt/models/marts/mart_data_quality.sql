with accepted_trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

rejected_trips as (

    select * from {{ ref('rejected_trips') }}

),

loads as (

    select * from {{ source('raw', 'loads') }}

),

outcomes as (

    select
        load_id,
        colour,
        'accepted' as outcome,
        total_check,
        passenger_count is null as is_passenger_count_unknown
    from accepted_trips

    union all

    select
        load_id,
        colour,
        reasons[1] as outcome,
        total_check,
        passenger_count is null as is_passenger_count_unknown
    from rejected_trips

),

counted as (

    select
        load_id,
        colour,
        outcome,
        count(*) as rows_loaded,
        count(*) filter (where outcome = 'accepted') as rows_accepted,
        count(*) filter (where outcome <> 'accepted') as rows_rejected,
        count(*) filter (where total_check = 'matches') as totals_matching,
        count(*) filter (where total_check = 'differs') as totals_differing,
        count(*) filter (where is_passenger_count_unknown) as passenger_counts_unknown
    from outcomes
    group by load_id, colour, outcome

),

final as (

    select
        counted.load_id,
        counted.colour,
        (loads.partition || '-01')::date as month,
        loads.origin,
        loads.input as source_file,
        loads.loaded_at,
        counted.* exclude (load_id, colour)
    from counted
    inner join loads on counted.load_id = loads.load_id

)

select * from final
