"""Who may use the API: keys, stored hashed, and what each of them may do.

- ``models``: the table of keys. ``scopes``: what a scope may do; pure.
- ``services``: what people do to keys, the only writer; ``bootstrap``: the key that the
  environment brings; ``conflicts``: why some of it is refused.
- ``keys``: finding the key of a request; ``authentication``: the two ways it is carried.
- ``audit``: reading what people changed. ``api``, ``schemas``: the routes of both.
"""
