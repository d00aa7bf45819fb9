select
    zone_id,
    borough,
    zone,
    service_zone,
    latitude,
    longitude
from {{ ref('stg_taxi_zones') }}
