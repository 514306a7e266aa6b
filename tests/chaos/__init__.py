"""Faults really injected into a running cluster, and what became of the promises.

``proxy`` stands between the cluster and its servers and fails as told, ``servers`` are a
PostgreSQL and a Valkey to be killed, ``targets`` what is watched, ``names`` who knows its
addresses. ``world`` runs a cluster among them, ``judge`` holds its ledger against the
schedule, ``faults`` breaks things, ``promises`` says of each promise of the design what was
expected and what came. ``make chaos`` runs the long form; ``test_faults`` the short one.
"""
