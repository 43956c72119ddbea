# One image for every role; compose.yaml says which runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps -w /wheels .

FROM python:3.13-slim
RUN useradd --create-home millstream
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /wheels/*.whl)[email,data]" \
    && rm -r /wheels /tmp/constraints.txt
USER millstream
WORKDIR /app
ENTRYPOINT ["millstream"]
CMD ["--help"]
