# syntax=docker/dockerfile:1
# The light processes: Prefect's server, the labelling page, deployments, backups, and the worker that asks judges over
# HTTP. Build it from the project's root: docker build --file docker/service.Dockerfile .
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

# The address of PyTorch's CPU packages: without it pip takes a CUDA build of several GB, which constraints.txt refuses.
ARG PIP_EXTRA_INDEX_URL=

# pg_dump and pg_restore for backups; they must not be older than the server (15 in compose.yaml, 15 in bookworm).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 antipode \
    && install --directory --owner antipode --group antipode /srv/artifacts /srv/models /srv/prefect

WORKDIR /srv/antipode

# The packages first: they change seldom and take minutes.
COPY pyproject.toml constraints.txt ./
RUN touch README.md \
    && pip install --no-cache-dir --constraint constraints.txt '.[light,postgres,s3]'

# A worker finds the flows in this folder.
COPY deployments.yaml ./
COPY models models
COPY db db
COPY web web
COPY tasks tasks
COPY flows flows
COPY antipode antipode
RUN pip install --no-cache-dir --no-deps --editable .

ENV DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PYTHONUNBUFFERED=1
USER 10001
CMD ["antipode", "doctor"]
