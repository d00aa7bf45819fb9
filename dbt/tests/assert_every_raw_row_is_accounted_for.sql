-- Rows in = rows in the fact + rows rejected, for each load, and the ledger agrees.
with raw_rows as (

    select
        _load_id as load_id,
        count(*) as raw_count
    from {{ source('taxi', 'yellow_trips') }}
    group by load_id
    union all
    select
        _load_id as load_id,
        count(*) as raw_count
    from {{ source('taxi', 'green_trips') }}
    group by load_id

),

built as (

    select
        load_id,
        count(*) as built_count
    from (
        select load_id from {{ ref('fct_taxi_trips') }}
        union all
        select load_id from {{ ref('rejected_trips') }}
    )
    group by load_id

),

ledger as (

    select
        load_id,
        rows as ledger_count
    from {{ source('raw', 'loads') }}
    where active

)

select *
from ledger
full outer join raw_rows using (load_id)
full outer join built using (load_id)
where
    coalesce(ledger_count, -1) <> coalesce(raw_count, -1)
    or coalesce(raw_count, -1) <> coalesce(built_count, -1)
