# foreact in a container: the data and foreact.toml lie in the volume /data.
FROM python:3.12-slim-bookworm

RUN useradd --create-home --uid 10001 foreact && mkdir /data && chown foreact /data
WORKDIR /opt/foreact
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY LICENSE README.md prefect.yaml pyproject.toml plugins.py settings.py ./
COPY api api
COPY cli cli
COPY flows flows
COPY handlers handlers
COPY storage storage
COPY tasks tasks

# By number, so that Kubernetes can see that it is not root.
USER 10001
ENV PYTHONPATH=/opt/foreact FOREACT_FOLDER=/data PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
VOLUME /data
EXPOSE 5003 4200
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5003/healthz', timeout=4)"]
STOPSIGNAL SIGINT
ENTRYPOINT ["python", "-P", "-m", "cli.app"]
CMD ["up"]
