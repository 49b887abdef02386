# The gateway, without torch: docker build -f deploy/docker/gateway.Dockerfile -t gateway .
ARG PYTHON=3.11.13-slim-bookworm
FROM docker.io/library/python:${PYTHON} AS build
WORKDIR /build
COPY . /src
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --no-cache-dir "/src[otel,vision]"
RUN mkdir -p /opt/baton && ln -s "$(/opt/venv/bin/python -c 'from baton.cluster.demo_model import FOLDER; print(FOLDER)')" /opt/baton/demo

FROM docker.io/library/python:${PYTHON}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/baton /opt/baton
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["baton"]
CMD ["gateway", "--help"]
