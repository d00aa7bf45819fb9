with trips as (

    select * from {{ ref('stg_taxi_trips') }}

),

itemised as (

    select
        *,
        -- From whole second to whole second: of fractions, engines count differently.
        date_diff(
            'second', date_trunc('second', pickup_at), date_trunc('second', dropoff_at)
        ) as duration_seconds,
        -- Sum of the meter's own items, or null where TLC does not get them all: trips without a
        -- payment type (0 flex fare, 5 unknown) carry surcharges that no column shows.
        -- Vendor 1 (Creative Mobile) puts congestion, airport and zone fees into `extra`, and in
        -- recent green files the improvement surcharge into `mta_tax` (1.50); adding their own
        -- columns would count them twice.
        case
            when payment_type_id in (0, 5) then null
            when vendor_id = 1
                then
                    fare_amount + extra_amount + mta_tax + tip_amount + tolls_amount
                    + case
                        when colour = 'green' and abs(mta_tax) = 1.5 then 0
                        else improvement_surcharge
                    end
            else
                fare_amount + extra_amount + mta_tax + tip_amount + tolls_amount
                + improvement_surcharge + coalesce(congestion_surcharge, 0)
                + coalesce(airport_fee, 0) + coalesce(cbd_congestion_fee, 0)
        end as itemised_amount
    from trips

),

judged as (

    select
        *,
        pickup_at is null or dropoff_at is null or distance_miles is null or fare_amount is null
        or tip_amount is null or total_amount is null or has_overflow as has_missing_value,
        coalesce(date_trunc('month', pickup_at) <> month, false) as is_outside_month,
        coalesce(duration_seconds < 0, false) as is_dropoff_before_pickup,
        coalesce(duration_seconds > 12 * 3600, false) as is_implausible_duration,
        coalesce(distance_miles < 0 or distance_miles > 200, false) as is_implausible_distance,
        coalesce(fare_amount < 0, false) as is_negative_fare,
        coalesce(total_amount < 0, false) as is_negative_total,
        coalesce(pickup_zone_id not between 1 and 265, true)
        or coalesce(dropoff_zone_id not between 1 and 265, true) as is_unknown_zone
    from itemised

),

final as (

    select
        *,
        has_missing_value or is_outside_month or is_dropoff_before_pickup
        or is_implausible_duration or is_implausible_distance or is_negative_fare
        or is_negative_total or is_unknown_zone as is_rejected,
        case
            when itemised_amount is null then 'not itemised'
            when itemised_amount = total_amount then 'matches'
            else 'differs'
        end as total_check
    from judged

)

select * from final
