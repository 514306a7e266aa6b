"""Django's and Celery's settings, all of them, from the environment only.

What the operator may set is declared with its type in ``sentinel.environment``; this file
turns it into what the libraries want. Importing it ends the process with one sentence
where a variable makes no sense.
"""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from monitoring.queues import CONTROL, probe_queue, queue
from sentinel import broker, embedded
from sentinel.environment import read_environment
from sentinel.key_files import encryption_keys, secret_from
from sentinel.listeners import listeners
from sentinel.logs import logging_config
from sentinel.web_arrivals import LARGEST_BODY

ENVIRONMENT: Final = read_environment()

BASE_DIR: Final = Path(__file__).resolve().parent.parent
DATA_DIR: Final = ENVIRONMENT.SENTINEL_DATA_DIR.absolute()
DATABASE_URL: Final = ENVIRONMENT.DATABASE_URL or embedded.database_url(DATA_DIR)
REDIS_URL: Final = ENVIRONMENT.REDIS_URL or embedded.redis_url(DATA_DIR)

# --- Django -----------------------------------------------------------------------------

SECRET_KEY = ENVIRONMENT.SENTINEL_SECRET_KEY or secret_from(
    DATA_DIR / "secret_key", lambda: secrets.token_urlsafe(48)
)
DEBUG = False
ALLOWED_HOSTS = list(ENVIRONMENT.SENTINEL_ALLOWED_HOSTS)
INSTALLED_APPS = [
    "sentinel.admin_app.SentinelAdminConfig",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "ninja",  # for the Swagger UI's own static files
    "domains",
    "monitoring",
    "sentinel",
    "sentinel.access",
    "sentinel.idempotency",
]
MIDDLEWARE = [
    "sentinel.request_log.RequestLogMiddleware",
    "sentinel.security.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "sentinel.throttling.AllowanceMiddleware",
    "sentinel.problems.ProblemMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # whose own errors have no body
    "sentinel.streams.StreamMiddleware",
    "sentinel.health.HostMiddleware",
    # For people's pages. They do their work when a view asks for it: a request with an API key
    # costs them no query and gets no cookie, and the API's routes are exempt from CSRF.
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "sentinel.pages.PageOutageMiddleware",
]
ROOT_URLCONF = "sentinel.urls"
WSGI_APPLICATION = "sentinel.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "sentinel" / "templates"],  # before the packages' own of the same name
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step: the few files come from the packages
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "sentinel.formats"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = LARGEST_BODY
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
# TLS ends at the operator's proxy, which also sets HSTS and redirects; frames are forbidden by
# SecurityHeadersMiddleware, for answers of every kind.
SILENCED_SYSTEM_CHECKS = ["security.W002", "security.W004", "security.W008"]
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_config()

# --- Signing in to the pages --------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["sentinel.access.permissions.ScopeBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in {
        "MinimumLengthValidator": {"min_length": 12},
        "UserAttributeSimilarityValidator": {},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 12 * 3600  # from signing in: use does not lengthen it
# Cookies do not know ports: another program on this host may have a "sessionid" of its own, and
# another Sentinel its own keys. All processes of one have the same.
_OURS: Final = hashlib.sha256(f"cookies:{SECRET_KEY}".encode()).hexdigest()[:8]
SESSION_COOKIE_NAME = f"sentinel_session_{_OURS}"
CSRF_COOKIE_NAME = f"sentinel_csrf_{_OURS}"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
# Not "Strict": a link to a page, in a chat or a mail, would lead to the sign-in each time.
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Django does not believe a header that says the request came by https: whoever reaches the port
# could send it. Gunicorn does, from this machine and from FORWARDED_ALLOW_IPS.
CSRF_TRUSTED_ORIGINS = list(ENVIRONMENT.SENTINEL_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.cookies_are_secure
CSRF_FAILURE_VIEW = "sentinel.pages.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"


def _database(url: str) -> dict[str, Any]:
    parts: dict[str, Any] = dict(conninfo_to_dict(url))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
        # PgBouncer in transaction mode knows no cursor that outlives a transaction, nor prepared
        # statements, which Django leaves off by itself.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        # A database that cannot be reached is an error within seconds. One that accepts and
        # then hangs is not: libpq has no limit for that.
        "OPTIONS": {"connect_timeout": 3, "tcp_user_timeout": 10_000, **parts},
    }


DATABASES = {"default": _database(DATABASE_URL)}

# --- Sentinel ---------------------------------------------------------------------------

SENTINEL_LOCATION = ENVIRONMENT.SENTINEL_LOCATION
SENTINEL_DOCS = ENVIRONMENT.SENTINEL_DOCS
SENTINEL_ENCRYPTION_KEYS: Final = encryption_keys(ENVIRONMENT)
SENTINEL_BATCH_SIZE = ENVIRONMENT.SENTINEL_BATCH_SIZE
SENTINEL_RAW_RETENTION_DAYS = ENVIRONMENT.SENTINEL_RAW_RETENTION_DAYS
SENTINEL_PARTITION = ENVIRONMENT.SENTINEL_PARTITION
SENTINEL_METRICS_OPEN = ENVIRONMENT.SENTINEL_METRICS_OPEN
SENTINEL_ACCESS_LOG = ENVIRONMENT.SENTINEL_ACCESS_LOG
SENTINEL_API_THREADS = ENVIRONMENT.SENTINEL_API_THREADS
SENTINEL_RATE_LIMIT = ENVIRONMENT.SENTINEL_RATE_LIMIT
SENTINEL_RATE_LIMIT_FAILURES = ENVIRONMENT.SENTINEL_RATE_LIMIT_FAILURES
SENTINEL_TRUSTED_PROXIES = ENVIRONMENT.SENTINEL_TRUSTED_PROXIES
# What may be checked beside public addresses, and what may not unless it is named exactly.
SENTINEL_ALLOWED_TARGETS: Final = ENVIRONMENT.SENTINEL_ALLOWED_TARGETS
SENTINEL_OWN_ADDRESSES: Final = (
    *listeners(ENVIRONMENT, database_url=DATABASE_URL, redis_url=REDIS_URL),
    *ENVIRONMENT.SENTINEL_REFUSED_TARGETS,
)
SENTINEL_NAMESERVERS = ENVIRONMENT.SENTINEL_NAMESERVERS
SENTINEL_CANARIES = ENVIRONMENT.SENTINEL_CANARIES

# --- Limits, in seconds, in the order that `monitoring.checks` verifies at every start ----

SENTINEL_BATCH_SECONDS = 75
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TASK_TIME_LIMIT = 120
SENTINEL_VISIBILITY_SECONDS = 300

# Celery would take this variable before the setting, and the cluster would fall apart.
os.environ.pop("CELERY_BROKER_URL", None)

# --- Celery -----------------------------------------------------------------------------

# What each is there for was tried on celery 5.7, kombu 5.7 and redis-py 8 by the fault itself:
# tests/integration/test_health.py and test_celery_settings.py.
CELERY_BROKER_URL = broker.celery_url(REDIS_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A worker killed with a message in hand: another gets it after so long, not after an hour.
    "visibility_timeout": SENTINEL_VISIBILITY_SECONDS,
    # Half-open connections: without it a worker never consumes again. Two of them pass, one
    # after the other, before it has a new connection. Redis-py connects within it, too.
    "socket_timeout": 3,
    # The connection it reads by half-open alone: left after 6 to 11 seconds, not 26 to 51.
    "health_check_interval": 5,
    # Two clusters on one Redis: they would take each other's messages.
    "global_keyprefix": "sentinel:",
    **broker.celery_options(REDIS_URL),
}
# Hours without Redis: workers and Beat would end after a hundred attempts.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_DEFAULT_QUEUE = CONTROL
# A queue mistyped: an error where it is named, not messages that nobody consumes.
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_QUEUES = (
    queue(CONTROL),
    queue(probe_queue(SENTINEL_LOCATION)),
    queue(probe_queue(SENTINEL_LOCATION, slow=True)),
)
CELERY_TASK_ROUTES = {
    "monitoring.sweep": {"queue": CONTROL},
    "monitoring.retain": {"queue": CONTROL},
    "monitoring.roll_up": {"queue": CONTROL},
    "idempotency.forget": {"queue": CONTROL},
    "monitoring.check": {"queue": probe_queue(SENTINEL_LOCATION)},
}
# Manual checks (0) are taken before scheduled ones; among those kombu takes the two lanes of a
# location in turns, so that neither keeps the other waiting.
CELERY_TASK_DEFAULT_PRIORITY = 9
# A task that hangs: what would come after it stays in the queue, for other workers to take.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_SEND_TASK_EVENTS = True
# A long task before short ones: by Celery's own four wait behind each child, unseen by others.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = ENVIRONMENT.SENTINEL_WORKER_PROCESSES or os.cpu_count() or 2
