select 1
where (select sum(price) from {{ ref('orders') }}) <> (select sum(spent) from {{ ref('guests') }})
