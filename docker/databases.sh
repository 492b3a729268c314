#!/bin/sh
# Makes the two databases with a role each. PostgreSQL's image runs it once, on an empty volume.
set -eu

psql --set=ON_ERROR_STOP=1 --set="antipode_password=${DATABASE_PASSWORD:?}" \
    --set="prefect_password=${PREFECT_DATABASE_PASSWORD:?}" --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE antipode LOGIN PASSWORD :'antipode_password';
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE antipode_reader NOLOGIN;
GRANT antipode_reader TO antipode;
CREATE DATABASE antipode OWNER antipode;
CREATE DATABASE prefect OWNER prefect;
REVOKE CONNECT ON DATABASE antipode, prefect, postgres FROM PUBLIC;
SQL
