with source as (

    select * from {{ ref('raw_guests') }}

)

select
    id as guest_id,
    first_name || ' ' || last_name as guest,
    city
from source
