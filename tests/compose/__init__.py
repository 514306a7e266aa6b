"""The containers, run for real: a Docker engine, `docker-compose up --build`, a watched target.

``make compose-test`` runs it, ``make test`` does not. Where no engine answers, one is started
for the run (root on Debian), and where no base image can be pulled, stand-ins are made from
Debian's packages. What took long to make is kept in ``$XDG_CACHE_HOME/sentinel-compose``;
that folder may be deleted at any time.
"""
