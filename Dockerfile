# kgen itself: docker build -t kgen . && docker run --rm -v "$PWD:/project" kgen lock --cuda 12
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/kgen && /opt/kgen/bin/python -m pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/kgen /opt/kgen
ENV PATH=/opt/kgen/bin:$PATH UV_PYTHON_DOWNLOADS=never
WORKDIR /project
ENTRYPOINT ["kgen"]
CMD ["help"]
