# syntax=docker/dockerfile:1
# Alignment, and scorers that run here: PyTorch without vLLM, an environment apart from generation. For NVIDIA GPUs
# build it as compose.gpu.yaml says: CUDA comes with the packages, the driver from the host.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

ARG EXTRAS=postgres,s3
ARG CONSTRAINTS=constraints.txt
# For the CPU: the address of PyTorch's CPU packages. For GPUs leave it empty, or pip takes those.
ARG PIP_EXTRA_INDEX_URL=

# Triton and PyTorch compile kernels while they run.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 antipode \
    && install --directory --owner antipode --group antipode /srv/artifacts /srv/models

WORKDIR /srv/antipode

# The packages first: they change seldom and take minutes.
COPY pyproject.toml constraints.txt docker/constraints-gpu.txt ./
RUN touch README.md \
    && pip install --no-cache-dir --constraint "${CONSTRAINTS}" ".[${EXTRAS}]"

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
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PYTHONUNBUFFERED=1
USER 10001
CMD ["antipode", "worker", "--queues", "training", "--limit", "1"]
