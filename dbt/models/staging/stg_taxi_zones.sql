select
    location_id as zone_id,
    borough,
    zone,
    service_zone,
    latitude,
    longitude
from {{ ref('taxi_zones') }}
