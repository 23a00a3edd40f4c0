"""A DAG file that cannot be imported."""

import not_a_module_of_anybody  # noqa: F401
from airflow.sdk import dag  # noqa: F401
