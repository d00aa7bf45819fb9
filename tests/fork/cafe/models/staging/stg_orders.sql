with source as (

    select * from {{ ref('raw_orders') }}

)

select
    id as order_id,
    guest as guest_id,
    placed_at::date as placed_on,
    status,
    {{ checks.to_money('price_cents') }} as price
from source
