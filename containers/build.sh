#!/bin/sh
# Build the image, with docker where there is a daemon, else with podman or buildah; run its health check.
#   NAME      name and tag, keras-pipeline-python:latest by default
#   BASE      another base image; `local` makes one with debootstrap (containers/base.sh), where no registry is
#   PIP_CERT  the certificate of the network's proxy, if it has one
set -eu
cd "$(dirname "$0")/.."
name=${NAME:-keras-pipeline-python:latest}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision="$revision-dirty"
set -- --target cpu --tag "$name" --file containers/Dockerfile \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=certificate,src=$PIP_CERT"
if [ "${BASE:-}" = local ]; then
    containers/base.sh
    BASE=localhost/keras-pipeline-base:latest
fi
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"

if docker info >/dev/null 2>&1; then
    docker build "$@" .
    docker run --rm "$name"
elif command -v buildah >/dev/null; then
    # Without a daemon and inside another container there are no namespaces to be had, so a chroot has to do.
    buildah build --layers --network host --isolation "${BUILDAH_ISOLATION:-chroot}" "$@" .
    container=$(buildah from "$name")
    trap 'buildah rm "$container" >/dev/null' EXIT
    buildah run --isolation "${BUILDAH_ISOLATION:-chroot}" "$container" -- python3 -m components
elif command -v podman >/dev/null; then
    podman build --layers "$@" .
    podman run --rm "$name"
else
    echo "error: no docker, buildah or podman; on Debian: apt-get install buildah" >&2
    exit 2
fi
echo "built $name, revision $revision"
