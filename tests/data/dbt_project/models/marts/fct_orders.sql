with joined as (
    select o.order_id, o.customer_id, o.status, p.paid
    from {{ ref('stg_orders') }} o
    left join {{ ref('eph_payments') }} p on p.order_id = o.order_id
)
select order_id, customer_id, status, coalesce(paid, 0) as paid from joined where status <> 'hunter2draft'
