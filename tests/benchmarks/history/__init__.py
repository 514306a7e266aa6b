"""What reading costs with a hundred million results stored: the server's time of each request.

``make bench-history`` starts the PostgreSQL and Valkey of ``sentinel up`` in a folder that is
kept, fills it up to now, and asks the API. The next run only adds what became due in between.

- ``episodes`` says what goes wrong when, of each domain and place: the same at every run.
- ``seeding`` writes raw rows in daily partitions, in the order in which a cluster would, with
  the product's own partitions and roll-ups; the two months before the raw rows have roll-ups
  alone, copied from those of the month. ``sql`` has its statements.
- ``servers`` runs PostgreSQL and Valkey, and empties their and the system's caches.
- ``kinds`` are the questions, ``asking`` asks them, ``report`` prints what came of it.

Requests are calls of the product's WSGI application in this process: everything between
gunicorn and the disk, without the network. The time is from the call to the last byte of the body.
``cold`` is asked after a restart of PostgreSQL with its files thrown out of the system's cache,
each request of a domain that nobody asked for since; ``warm`` is the same requests once more.
CPU is of this process and of its PostgreSQL backend: it holds on a busy machine, too.
"""
