# Compilers and build tools stay in this stage.
FROM python:3.13 AS build
ARG LOCK=requirements.lock
WORKDIR /build
COPY requirements*.lock ./
RUN python -m venv tools \
 && tools/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
 && python -m venv --without-pip /opt/tidemill \
 && tools/bin/uv pip install --no-cache --compile-bytecode --python /opt/tidemill/bin/python --require-hashes -r "$LOCK"
COPY pyproject.toml README.md ./
COPY triggers triggers
COPY stages stages
COPY service service
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
 && tools/bin/uv pip install --no-cache --compile-bytecode --python /opt/tidemill/bin/python --no-deps dist/*.whl

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/tidemill tidemill
COPY --from=build /opt/tidemill /opt/tidemill
WORKDIR /app
COPY examples examples
# Ports of a container are published from its outer address, so a token is needed: TIDEMILL_API_TOKEN.
ENV PATH=/opt/tidemill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIDEMILL_HOME=/var/lib/tidemill \
    TIDEMILL_HTTP_HOST=0.0.0.0 \
    TIDEMILL_HTTP_PORT=8400
USER 10001
VOLUME /var/lib/tidemill
EXPOSE 8400
# Only the role "api" answers: start containers of other roles with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"TIDEMILL_HTTP_PORT\"]}/livez', timeout=4)"]
ENTRYPOINT ["tidemill"]
CMD ["serve"]
