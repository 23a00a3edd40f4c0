{{ config(enabled=var('with_broken', false)) }}
select order_id, paid - cost_that_is_not_there as margin from {{ ref('fct_orders') }}
