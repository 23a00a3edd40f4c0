#!/bin/sh
# Writes .env for docker-compose.yml with fresh random passwords. Never touches one that is there.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo ".env is there already and was left alone" >&2
  exit 1
fi
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; } # hexadecimal: safe inside a URL
umask 077
cat >.env <<EOF
# Secrets of this installation. Keep a copy: without DLV_SECRET_KEY everybody has to sign in again, without
# DLV_SECRETS_KEYS the secrets of connections and channels have to be written anew, without the others the stores' data
# cannot be opened.
POSTGRES_PASSWORD=$(random)
NEO4J_PASSWORD=$(random)
VALKEY_PASSWORD=$(random)
DLV_SECRET_KEY=$(random)$(random)
DLV_SECRETS_KEYS=main:$(random)$(random)
EOF
echo "wrote .env; now: docker compose up -d --wait"
