"""``Idempotency-Key``: a POST that is sent again has one effect and the same answer.

- ``models``: what is kept of such a request for a day.
- ``claims``: one transaction with the row, the effect and the stored answer.
- ``keeping``: how long answers are kept, and how many; ``tasks``: the door of that upkeep.
"""
