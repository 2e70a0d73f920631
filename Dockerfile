# The handback command. Build: docker build -t handback .
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs rust-toolchain.toml ./
COPY .cargo .cargo
COPY proto proto
COPY src src
# The targets that Cargo.toml names must be there; none of them is built.
COPY benches benches
COPY tests tests
RUN cargo build --release --locked --bin handback

FROM debian:12.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 65532 handback \
    && useradd --system --no-create-home --uid 65532 --gid 65532 handback
COPY --from=build /src/target/release/handback /usr/local/bin/handback
# By number: Kubernetes' runAsNonRoot cannot tell who a name is.
USER 65532:65532
ENTRYPOINT ["handback"]
CMD ["run"]
