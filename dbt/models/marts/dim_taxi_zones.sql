with taxi_zones as (

    select * from {{ ref('stg_taxi_zones') }}

),

final as (

    select
        zone_id,
        borough,
        zone,
        service_zone,
        latitude,
        longitude
    from taxi_zones

)

select * from final
