with spent as (
    select customer_id, sum(paid) as total from {{ ref('fct_orders') }} group by customer_id
)
select c.customer_id, c.full_name, n.country_name, s.total
from {{ ref('stg_customers') }} c
left join spent s on s.customer_id = c.customer_id
left join {{ ref('countries') }} n on n.code = c.country
