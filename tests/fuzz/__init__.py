"""Requests made from the API's own schema, thousands of them, against a whole running cluster.

Generated domains have public names and addresses, and workers would dial them. So the cluster
and whoever asks it live in a network of their own, in which every address is this machine's and
nothing else can be reached; where the machine gives no such network, nothing is run.

- ``__main__``: ``python -m tests.fuzz``, the run at full length (``make fuzz``).
- ``running``: the network, the cluster in it, and Schemathesis with its checks.
- ``schemathesis.toml``: what of its checks is set otherwise, and why.
"""
