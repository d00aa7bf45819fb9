select
    g.guest_id,
    g.guest,
    g.city,
    count(o.order_id) as orders,
    coalesce(sum(o.price), 0)::decimal(12, 2) as spent
from {{ ref('stg_guests') }} as g
left join {{ ref('stg_orders') }} as o using (guest_id)
group by all
