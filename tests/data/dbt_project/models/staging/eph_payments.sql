{{ config(materialized='ephemeral') }}
select order_id, sum(amount) as paid from {{ source('raw', 'payments') }} group by order_id
