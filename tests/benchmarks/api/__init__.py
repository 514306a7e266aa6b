"""What the API takes: requests a second, latencies, CPU and memory, beside 10,000 domains checked.

``make bench-api`` runs a whole cluster whose domains are checked every minute, and beside its API
another one a configuration (gunicorn's workers and threads, a connection a thread or a pool),
on the same database. A program of its own (``load``) sends the requests over kept connections:

- **closed**: each of so many connections sends the next request when it has the answer; what
  comes out is the most that the API can do, in requests a second of wall clock and of CPU.
  wrk can send the same (``--by load,wrk``), so nobody has to believe a generator of ours.
- **open**: requests are due at fixed instants, whether or not those before were answered, and
  latency counts from the instant at which a request was due: an API that stalls is not asked
  less for it (coordinated omission).

Each figure is of one kind of request. ``mixed`` is what a busy integration sends: nine reads
(a domain, a list, history, a summary) and one write.
"""
