"""How much CPU a check costs: Sentinel's own, and beside it what others spend on one.

``make bench`` runs everything below in turns, round after round, against one target on
loopback, and takes the median of the rounds, because machines are noisy. What is counted is
the CPU time (user and system) of the processes that do the work, never the wall clock; the
target's own is not counted. A check is one GET on a fresh connection, its certificate verified;
every answer is looked at, and a run of which one check failed has no figure (of Prometheus's,
which at times gives up under load, those are counted that succeeded).

========== ====================================================================================
part       what one check is
========== ====================================================================================
probe      ``monitoring.probes.probe`` on uvloop, a task a check, as the worker runs it
whole      a Celery worker of one process, from the message on its queue to the row in the
           ledger. Counted is the worker, parent and child; PostgreSQL and Valkey stand beside it
httpx      a shared stock ``httpx.AsyncClient``, no connection kept, nothing stored
prototype  uvloop and llhttp with nothing around them: what this machine can do from Python, so
           that figures of two machines can be compared
handshake  Python's ssl (the system's OpenSSL) over a plain socket, one after another, no HTTP
blackbox   blackbox_exporter, asked for one probe a check over kept connections
prometheus Prometheus and blackbox_exporter together, a check being a stored ``probe_success``
========== ====================================================================================

In flight. The clients (probe, httpx, prototype, blackbox) keep exactly that many checks under
way: whenever one ends, the next begins. The whole way cannot be told: its worker takes what its
queue holds until it has as many as it allows itself (``monitoring.checking.IN_FLIGHT_LIMIT``).
So there, N in flight means that N domains fall due at once, in batches of the dispatcher's
size, and the next N when all of those are stored; at 1 each check has a batch and a message to
itself, as a manual check has, a hundred of them queued. What the worker really had open is
sampled from its descriptors and shown. Prometheus decides by its own schedule: it scrapes a
fixed number of targets every two seconds.
"""
