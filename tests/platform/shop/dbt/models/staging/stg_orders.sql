with orders as (

    select * from {{ source('shop', 'orders') }}

),

customers as (

    select * from {{ source('shop', 'customers') }}

),

final as (

    select
        orders.order_id,
        orders.ordered_on,
        orders.product,
        customers.name as customer,
        customers.country,
        orders.amount
    from orders
    left join customers on orders.customer_id = customers.customer_id

)

select * from final
