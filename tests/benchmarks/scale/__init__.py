"""How the whole cluster grows with its domains: what is recorded, how late, and what it costs.

``make bench-scale`` runs, for each number of domains, a fresh ``sentinel up`` with its embedded
PostgreSQL and Valkey against targets on loopback. The first domain is registered by the API,
the others are copies of its row with names and URLs of their own. After a warm-up, in which every
domain is checked once, the cluster is watched for some minutes; then what was due in them is
read from the ledger.

- ``running`` is one run: the cluster, the domains, the span that is watched.
- ``seeding`` writes domains.
- ``questions`` asks the database what came of it. All SQL that knows the product's tables is there.
- ``processes`` tells the cluster's processes apart, and what each has spent and holds.
- ``watching`` looks every second: queues, memory, and how long the target really takes.
- ``figures`` is what a run gives, and the arithmetic; ``growth`` is what several runs say
  together; ``report`` prints both.

CPU seconds are of user and system, of each process, and say more than what was reached: they
hold on a busy machine too. The target's and this program's own are shown apart: in a real
cluster they are somebody else's. ``fixed`` and ``each`` in the table of growth are the line
through the runs: what a minute costs without any domain, and what a slot adds.
"""
