"""Sentinel's composition root: settings, processes, the API, who may use it.

It imports ``monitoring`` and ``domains``; nothing imports it.

- ``settings``: everything read from the environment, typed, in one file.
- ``celery``: the Celery application, its queues and Beat's schedule.
- ``api``: the NinjaAPI with its routers and the one table from exception to answer.
- ``access``: API keys.
- ``health``: ``/livez`` and ``/readyz``.
- ``embedded``: PostgreSQL and Valkey from wheels, as programs to run.
- ``supervisor``, ``cluster``: ``sentinel up``, the whole cluster as one command.
- ``cli``: the ``sentinel`` command.
"""
