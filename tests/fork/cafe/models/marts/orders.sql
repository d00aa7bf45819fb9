select
    o.order_id,
    o.placed_on,
    {{ days_since('o.placed_on') }} as day_number,
    o.status,
    g.city,
    o.price
from {{ ref('stg_orders') }} as o
left join {{ ref('stg_guests') }} as g using (guest_id)
