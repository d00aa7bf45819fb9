{{ config(materialized='table', schema='marts') }}

with outcomes as (

    {{ load_outcomes() }}

),

final as (

    select * from outcomes

)

select * from final
