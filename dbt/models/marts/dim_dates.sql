with days as (

    -- TLC's records begin in 2009.
    select
        unnest(
            generate_series(date '2009-01-01', date '2035-12-31', interval 1 day)
        )::date as date_day

),

final as (

    select
        date_day,
        date_trunc('week', date_day)::date as week_start,
        date_trunc('month', date_day)::date as month_start,
        date_trunc('quarter', date_day)::date as quarter_start,
        date_trunc('year', date_day)::date as year_start,
        isodow(date_day)::integer as weekday,
        dayname(date_day) as weekday_name,
        isodow(date_day) > 5 as is_weekend
    from days

)

select * from final
