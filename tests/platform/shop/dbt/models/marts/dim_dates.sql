with days as (

    {{ loc_days('2024-01-01', '2026-12-31') }}

),

final as (

    select date_day
    from days

)

select * from final
