"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sentinel.settings")

application = get_wsgi_application()


def _share_connections() -> None:
    """Let the threads of this process share their connections to PostgreSQL."""
    from django.db import connections  # noqa: PLC0415

    from sentinel.settings import ENVIRONMENT  # noqa: PLC0415

    if ENVIRONMENT.SENTINEL_API_POOL:
        database = connections.settings["default"]
        database["CONN_MAX_AGE"] = 0
        database["OPTIONS"]["pool"] = {
            "min_size": 1,
            "max_size": ENVIRONMENT.SENTINEL_API_POOL,
            # So long a request waits for a connection before it is answered 503.
            "timeout": 3,
            # Once it has given up the pool tries again when it is asked, not by its own
            # backoff, which would go on for minutes after PostgreSQL is back.
            "reconnect_timeout": 1,
        }


_share_connections()
