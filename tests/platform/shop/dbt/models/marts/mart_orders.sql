with orders as (

    select * from {{ ref('stg_orders') }}

),

final as (

    select
        order_id,
        ordered_on,
        product,
        customer,
        country,
        amount
    from orders

)

select * from final
