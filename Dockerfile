# One image for every role: `sentinel init`, `api`, `worker`, `beat` and `flower`.
# Plain instructions only, so that the classic builder and BuildKit both build it.

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/sentinel
ENV PATH="/opt/sentinel/bin:$PATH"

WORKDIR /src
# The locked requirements change seldom and take longest: a layer of their own keeps them cached.
COPY requirements.txt ./
RUN pip install --require-hashes --requirement requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY sentinel ./sentinel
COPY domains ./domains
COPY monitoring ./monitoring
# What installs packages has no work left to do at run time, so it does not come along.
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="Sentinel" \
      org.opencontainers.image.description="Self-hosted synthetic monitoring with an exact ledger" \
      org.opencontainers.image.licenses="MIT"

# The data folder belongs to the user already: a fresh named volume takes its owner from here.
RUN groupadd --gid 10001 sentinel \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin sentinel \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/sentinel

COPY --from=build /opt/sentinel /opt/sentinel

# The root file system is meant to be mounted read-only: /tmp is the one place to write.
ENV PATH="/opt/sentinel/bin:$PATH" \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SENTINEL_HOST=0.0.0.0 \
    SENTINEL_DATA_DIR=/var/lib/sentinel

# A folder that the user cannot write, since `python -m` looks for modules where it starts.
WORKDIR /opt/sentinel
# Numbers, so that an orchestrator can see that this is not root without reading /etc/passwd.
USER 10001:10001
EXPOSE 8000 5555
STOPSIGNAL SIGTERM
ENTRYPOINT ["sentinel"]
CMD ["api"]
