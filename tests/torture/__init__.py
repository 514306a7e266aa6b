"""The torture server: what servers do to a probe, and the one right outcome of each.

``TABLE`` (``tests.torture.table``) is data: a row's name, what the server does, the options
of the Target, and the state, reason, detail and figures that are right by the RFC or by the
design.

Probe and servers run in processes of their own, so only the probe's side is counted::

    python -m tests.torture              the whole table
    python -m tests.torture redirect     the rows with that in their group or name
    python -m tests.torture --thousand   a thousand hostile checks, counted before and after

Everything stays on loopback.
"""
