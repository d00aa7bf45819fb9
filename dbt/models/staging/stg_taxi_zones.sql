with taxi_zones as (

    select * from {{ ref('taxi_zones') }}

),

final as (

    select
        location_id as zone_id,
        borough,
        zone,
        service_zone,
        latitude,
        longitude
    from taxi_zones

)

select * from final
