# Nothing in it is MuleSoft's: flexctl runs in Jobs, from the gateway's own image. For --renewer=exec, BASE is the image
# that has flexctl on its PATH:
#   docker build --build-arg BASE=mulesoft/flex-gateway:VERSION .
ARG BASE=scratch

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go ./
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
ARG VERSION=development
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /manager . && \
    CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w" -o /flexctl-runner ./cmd/flexctl-runner

FROM ${BASE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /manager /flexctl-runner /
USER 65532:65532
ENTRYPOINT ["/manager"]
