with days as (

    -- TLC's records begin in 2009.
    {{ loc_days('2009-01-01', '2035-12-31') }}

),

final as (

    select
        date_day,
        cast(date_trunc('week', date_day) as date) as week_start,
        cast(date_trunc('month', date_day) as date) as month_start,
        cast(date_trunc('quarter', date_day) as date) as quarter_start,
        cast(date_trunc('year', date_day) as date) as year_start,
        {{ loc_iso_weekday('date_day') }} as weekday,
        {{ loc_weekday_name('date_day') }} as weekday_name,
        {{ loc_iso_weekday('date_day') }} > 5 as is_weekend
    from days

)

select * from final
