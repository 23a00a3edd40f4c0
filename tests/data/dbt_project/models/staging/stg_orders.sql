select order_id, customer_id, lower(status) as status, placed_on
from {{ source('raw', 'orders') }}
