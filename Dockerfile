# Two images: the operator's, which is the default, and with --target exec one for --renewer=exec, on top of an image that has
# flexctl on its PATH:
#   docker buildx build --target exec --build-arg BASE=mulesoft/flex-gateway:VERSION .
# Nothing in the first is MuleSoft's: flexctl runs in Jobs there, from the gateway's own image.
ARG GO_VERSION=1.26.8
ARG BASE=scratch

# Compiles on the machine that builds, for the platform that is asked for. Same sources and arguments, same bytes.
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go ./
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
ARG VERSION=development
ARG COMMIT=
ARG TARGETOS
ARG TARGETARCH
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
RUN GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /out/manager . && \
    GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -ldflags "-s -w" -o /out/flexctl-runner ./cmd/flexctl-runner

FROM ${BASE} AS exec
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/manager", "--renewer=exec"]

FROM scratch
ARG VERSION=development
ARG COMMIT=
LABEL org.opencontainers.image.title="flex-registration-operator" \
      org.opencontainers.image.description="Keeps the platform registrations of Flex Gateways valid" \
      org.opencontainers.image.source="https://github.com/flexops/flex-registration-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/manager"]
