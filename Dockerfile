# docker build -t curveproxy .
#
# Two stages on one base: wheels are built and installed in the first, the second takes the installed files and
# nothing else, so that no compiler, no pip and no cache comes with them. Both need the same Python: the base is an
# argument, any image with python3 and its venv module will do.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS wheels
# What the codec in C, and a dependency without a wheel for this machine, are compiled with: Debian packages.
ARG BUILD_PACKAGES="gcc libc6-dev"
RUN test -z "$BUILD_PACKAGES" || { apt-get update && apt-get install -y --no-install-recommends $BUILD_PACKAGES; }
RUN python3 -m venv /build
COPY . /source
# The secret is a pip.conf, for who has an index of his own: --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /build/bin/pip wheel --no-cache-dir --wheel-dir /wheels /source
RUN python3 -m venv --without-pip /opt/curveproxy \
    && /build/bin/pip --python /opt/curveproxy/bin/python install --no-index --find-links /wheels --compile curveproxy

FROM ${PYTHON_IMAGE}
COPY --from=wheels /opt/curveproxy /opt/curveproxy
ENV PATH=/opt/curveproxy/bin:$PATH PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="curveproxy" \
      org.opencontainers.image.description="A sidecar that terminates CurveZMQ in front of plain ZeroMQ services" \
      org.opencontainers.image.licenses="MPL-2.0"
# Nobody, by number: no name is needed in /etc/passwd, and a rule against running as root can see that it is not 0.
USER 65532:65532
EXPOSE 5556
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["curveproxy", "health", "/etc/curveproxy/curveproxy.toml"]
ENTRYPOINT ["curveproxy"]
CMD ["run", "/etc/curveproxy/curveproxy.toml"]
