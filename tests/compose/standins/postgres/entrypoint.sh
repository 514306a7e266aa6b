#!/bin/bash
# Prepares an empty PGDATA as the environment says, then becomes the server: the documented
# behaviour of the official image, as far as the cluster needs it.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$PGDATA" /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user="${POSTGRES_USER:-postgres}"
  password="${POSTGRES_PASSWORD:-}"
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    password="$(< "$POSTGRES_PASSWORD_FILE")"
  fi
  if [ -z "$password" ]; then
    echo "POSTGRES_PASSWORD is empty: set it, or POSTGRES_PASSWORD_FILE." >&2
    exit 1
  fi
  chmod 0700 "$PGDATA"
  # Unquoted on purpose: the variable holds several arguments.
  # shellcheck disable=SC2086
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") \
    --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  # As in the official image, nobody outside sees the server before it is complete.
  pg_ctl --wait --options="-c listen_addresses=''" start
  database="${POSTGRES_DB:-$user}"
  if [ "$database" != postgres ]; then
    createdb --username="$user" --maintenance-db=postgres "$database"
  fi
  pg_ctl --wait --mode=fast stop
fi

if [ "$1" = postgres ]; then
  shift
  set -- postgres -c "listen_addresses=*" "$@"
fi
exec "$@"
