"""What Schemathesis is not to do: saw off the branch it sits on.

Loaded by Schemathesis itself, by SCHEMATHESIS_HOOKS.
"""

import os
from typing import Any, Final

import schemathesis

OWN_KEY: Final = os.environ["FUZZ_OWN_KEY"]
_ANOTHER: Final = 2**40


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Turn a change of the key that is asked with into one of a key that there is not."""
    parameters = case.path_parameters or {}
    if case.method.upper() != "GET" and str(parameters.get("key_id")) == OWN_KEY:
        case.path_parameters["key_id"] = _ANOTHER
