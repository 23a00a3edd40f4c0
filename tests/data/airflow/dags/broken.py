"""Cannot be imported."""

import not_a_module_of_anybody  # noqa: F401
