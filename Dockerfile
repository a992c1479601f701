# conmotiond alone, on nothing else. Build with the sources as the context:
#
#   docker build -t conmotiond .
#
# The process needs no root and writes only below /data. Keys are files: mount them,
# and give the directory as --keys.
ARG GO=1.26
FROM golang:${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/bin/conmotiond ./cmd/conmotiond \
    && mkdir -p /out/data /out/tmp /out/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM scratch
COPY --from=build --chown=65532:65532 /out /
USER 65532:65532
VOLUME ["/data", "/tmp"]
EXPOSE 8080 9090
ENTRYPOINT ["/bin/conmotiond", "--dir", "/data", "--listen", ":8080", "--admin-listen", ":9090"]
