# Workers on NVIDIA GPUs: docker build -f deploy/docker/worker-cuda.Dockerfile -t worker-cuda .
# torch brings CUDA's libraries with it; the driver comes from the node.
ARG PYTHON=3.11.13-slim-bookworm
FROM docker.io/library/python:${PYTHON} AS build
ARG TORCH=torch==2.13.0
# For a Ray cluster: worker,nixl,otel,ray
ARG EXTRAS=worker,nixl,otel,vision
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu130
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --no-cache-dir --index-url ${TORCH_INDEX} ${TORCH}
COPY . /src
RUN /opt/venv/bin/pip install --no-cache-dir "/src[${EXTRAS}]"
RUN XDG_CACHE_HOME=/opt/baton/cache /opt/venv/bin/baton build-kernels --all-levels
RUN mkdir -p /opt/baton && ln -s "$(/opt/venv/bin/python -c 'from baton.cluster.demo_model import FOLDER; print(FOLDER)')" /opt/baton/demo

FROM docker.io/library/python:${PYTHON}
# Triton compiles what launches its kernels.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/baton /opt/baton
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp XDG_CACHE_HOME=/opt/baton/cache TRITON_CACHE_DIR=/tmp/triton CC=gcc
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
ENTRYPOINT ["baton"]
CMD ["decode", "--help"]
