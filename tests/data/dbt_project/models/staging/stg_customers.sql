select customer_id, full_name, country from {{ source('raw', 'customers') }}
