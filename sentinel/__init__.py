"""Sentinel's composition root: settings, processes, the API, who may use it.

It imports ``monitoring`` and ``domains``; nothing imports it.

- ``environment``: what the operator may set, each variable with its cure; ``environment_types``:
  what it may say; ``key_files``: the keys that are made where none was given.
- ``settings``: what Django and Celery make of it, in one file.
- ``broker``: Redis as ``REDIS_URL`` names it, one server or behind Redis Sentinel.
- ``listeners``: where the cluster's own services listen, by its settings.
- ``celery``: the Celery application, its queues and Beat's schedule; ``reconnecting``: how its
  processes wait for Redis, and go on with it.
- ``api``, ``operations``, ``bodies``: the NinjaAPI with its routers, what every operation refuses,
  and how it reads JSON.
- ``openapi``, ``openapi_errors``, ``openapi_headers``, ``openapi_words``: what the OpenAPI document
  says beside what Ninja finds in the routes.
- ``admin_site``, ``admin_app``: Django's admin as Sentinel has it, and the way into it; ``pages``:
  errors of what people read; ``users_command``: ``sentinel users``.
- ``problems``, ``problem_types``, ``problem_pages``: errors in their one shape, the table of their
  kinds, and the pages of those.
- ``request_log``, ``security``: each request's id and line, and what browsers are told.
- ``throttling``, ``client_address``: how often a key may ask, and an address without one.
- ``web_server``: gunicorn's threads, which wait for no client; ``web_arrivals``: when a request is
  all there; ``web_clients``: how long one may take to read; ``web_errors``: what gunicorn answers
  by itself, in the same form. ``streams``: how many files are sent at a time.
- ``idempotency``: a POST that is sent again has one effect and one answer.
- ``access``: API keys, their scopes, and reading the audit; ``keys_command``: ``sentinel keys``.
- ``health``: ``/livez`` and ``/readyz``. ``metrics``: ``/metrics``. ``read_only``: that they and
  their like take nothing.
- ``embedded``: PostgreSQL and Valkey from wheels, as programs to run.
- ``supervisor``, ``cluster``, ``ports``: ``sentinel up``, the whole cluster as one command, and
  whether the ports it wants are free.
- ``processes``, ``pulse``: what each process executes, and how it shows that it works.
- ``queue_canary``: the messages by which a worker sees that it consumes.
- ``logs``: one form of log line for all of them; ``tracebacks``: without the values in messages.
- ``cli``: the ``sentinel`` command; ``no_database``: what its commands say without one.
- ``check_command``, ``check``: one URL checked from the command line, after ``check_options``;
  ``waterfall`` draws what came of it, ``tally`` counts what came of many.
"""
