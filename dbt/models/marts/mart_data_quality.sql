with outcomes as (

    select * from {{ ref('load_outcomes') }}

),

final as (

    select
        load_id,
        source,
        table_name,
        partition,
        cast(
            date_trunc(
                'month',
                coalesce(
                    try_cast(partition as date),
                    try_cast(partition || '-01' as date),
                    cast(loaded_at as date)
                )
            ) as date
        ) as month,
        origin,
        input as source_file,
        loaded_at,
        outcome,
        rows as rows_loaded,
        accepted + rejected as rows_audited,
        accepted as rows_accepted,
        rejected as rows_rejected
    from outcomes

)

select * from final
