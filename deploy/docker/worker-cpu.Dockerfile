# Workers on CPUs: docker build -f deploy/docker/worker-cpu.Dockerfile -t worker-cpu .
ARG PYTHON=3.11.13-slim-bookworm
FROM docker.io/library/python:${PYTHON} AS build
ARG TORCH=torch==2.13.0
# For a Ray cluster: worker,otel,ray
ARG EXTRAS=worker,otel,vision
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --no-cache-dir --index-url ${TORCH_INDEX} ${TORCH}
COPY . /src
RUN /opt/venv/bin/pip install --no-cache-dir "/src[${EXTRAS}]"
RUN XDG_CACHE_HOME=/opt/baton/cache /opt/venv/bin/baton build-kernels --all-levels
RUN mkdir -p /opt/baton && ln -s "$(/opt/venv/bin/python -c 'from baton.cluster.demo_model import FOLDER; print(FOLDER)')" /opt/baton/demo

FROM docker.io/library/python:${PYTHON}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/baton /opt/baton
# No compiler here: the kernels of every kind of CPU lie in the cache, which nobody may write.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp XDG_CACHE_HOME=/opt/baton/cache
USER 10001:10001
ENTRYPOINT ["baton"]
CMD ["decode", "--help"]
