{%- set counts = [
    'vendorid', 'passenger_count', 'ratecodeid', 'pulocationid', 'dolocationid', 'payment_type'
] %}
{%- set amounts = [
    'fare_amount', 'extra', 'mta_tax', 'tip_amount', 'tolls_amount', 'improvement_surcharge',
    'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee', 'total_amount'
] %}
with yellow_trips as (

    select * from {{ source('taxi', 'yellow_trips') }}

),

green_trips as (

    select * from {{ source('taxi', 'green_trips') }}

),

yellow as (

    select
        'yellow' as colour,
        1 as colour_code,
        tpep_pickup_datetime as pickup_at,
        tpep_dropoff_datetime as dropoff_at,
        airport_fee,
        vendorid,
        passenger_count,
        trip_distance,
        ratecodeid,
        pulocationid,
        dolocationid,
        payment_type,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        congestion_surcharge,
        cbd_congestion_fee,
        total_amount,
        _origin,
        _month,
        _source_file,
        _row,
        _load_id,
        _loaded_at
    from yellow_trips

),

green as (

    select
        'green' as colour,
        2 as colour_code,
        lpep_pickup_datetime as pickup_at,
        lpep_dropoff_datetime as dropoff_at,
        cast(null as double) as airport_fee,
        vendorid,
        passenger_count,
        trip_distance,
        ratecodeid,
        pulocationid,
        dolocationid,
        payment_type,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        congestion_surcharge,
        cbd_congestion_fee,
        total_amount,
        _origin,
        _month,
        _source_file,
        _row,
        _load_id,
        _loaded_at
    from green_trips

),

trips as (

    select * from yellow
    union all
    select * from green

),

-- A value that does not fit its type becomes null here, and its row is rejected later: one absurd
-- amount must not stop a month.
final as (

    select
        -- Colour, month and row in the file, as digits: unique by construction, the same after a
        -- reload, and below 2^53, so that JavaScript keeps it exact.
        cast(
            colour_code * 1000000000000000 + extract(year from _month) * 100000000000
            + extract(month from _month) * 1000000000 + _row as bigint
        ) as trip_id,
        colour,
        try_cast(vendorid as integer) as vendor_id,
        pickup_at,
        dropoff_at,
        try_cast(passenger_count as integer) as passenger_count,
        trip_distance as distance_miles,
        coalesce(try_cast(ratecodeid as integer), 99) as rate_code_id,
        try_cast(pulocationid as integer) as pickup_zone_id,
        try_cast(dolocationid as integer) as dropoff_zone_id,
        coalesce(try_cast(payment_type as integer), 5) as payment_type_id,
        try_cast(fare_amount as decimal(10, 2)) as fare_amount,
        try_cast(extra as decimal(10, 2)) as extra_amount,
        try_cast(mta_tax as decimal(10, 2)) as mta_tax,
        try_cast(tip_amount as decimal(10, 2)) as tip_amount,
        try_cast(tolls_amount as decimal(10, 2)) as tolls_amount,
        try_cast(coalesce(improvement_surcharge, 0) as decimal(10, 2)) as improvement_surcharge,
        try_cast(congestion_surcharge as decimal(10, 2)) as congestion_surcharge,
        try_cast(airport_fee as decimal(10, 2)) as airport_fee,
        try_cast(cbd_congestion_fee as decimal(10, 2)) as cbd_congestion_fee,
        try_cast(total_amount as decimal(10, 2)) as total_amount,
        {{ any_overflow(counts, 'integer') }}
        or {{ any_overflow(amounts, 'decimal(10, 2)') }} as has_overflow,
        _origin as origin,
        _month as month,
        _row as source_row,
        _source_file as source_file,
        _load_id as load_id,
        _loaded_at as loaded_at
    from trips

)

select * from final
