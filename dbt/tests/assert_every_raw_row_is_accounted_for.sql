-- Rows in = rows in the fact + rows rejected, for each load, and the ledger agrees.
with yellow_trips as (

    select * from {{ source('taxi', 'yellow_trips') }}

),

green_trips as (

    select * from {{ source('taxi', 'green_trips') }}

),

accepted_trips as (

    select * from {{ ref('fct_taxi_trips') }}

),

rejected_trips as (

    select * from {{ ref('rejected_trips') }}

),

loads as (

    select * from {{ source('raw', 'loads') }}

),

raw_trips as (

    select _load_id as load_id from yellow_trips
    union all
    select _load_id as load_id from green_trips

),

raw_counts as (

    select
        load_id,
        count(*) as raw_count
    from raw_trips
    group by load_id

),

built_trips as (

    select load_id from accepted_trips
    union all
    select load_id from rejected_trips

),

built_counts as (

    select
        load_id,
        count(*) as built_count
    from built_trips
    group by load_id

),

ledger as (

    select
        load_id,
        rows as ledger_count
    from loads
    where active

),

final as (

    select *
    from ledger
    full outer join raw_counts using (load_id)
    full outer join built_counts using (load_id)
    where
        coalesce(ledger_count, -1) <> coalesce(raw_count, -1)
        or coalesce(raw_count, -1) <> coalesce(built_count, -1)

)

select * from final
