#!/bin/sh
# Build an image and run its health check: build.sh [cpu|gpu|tpu|serving]
#   NAME      another name and tag
#   BASE      another base image; `local` makes one with debootstrap (containers/base.sh), where no registry is
#   PIP_CERT  the certificate of the network's proxy, if it has one
set -eu
cd "$(dirname "$0")/.."
. containers/tool.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision="$revision-dirty"
set -- --target "$target" --tag "$image" --file containers/Dockerfile --build-arg "TARGET=$target" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${PIP_CERT:-}" ] || set -- "$@" --secret "id=certificate,src=$PIP_CERT"
if [ "${BASE:-}" = local ]; then
    BASE=localhost/keras-pipeline-base:latest
    containers/base.sh "$BASE"
fi
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"

case $tool in
    docker) docker build "$@" . ;;
    buildah) buildah build --layers --network host "$@" . ;;
    podman) podman build --layers "$@" . ;;
esac
if [ "$target" = serving ]; then
    in_image python3 -c "import components.serve.server"  # it has no model to serve yet
else
    in_image python3 -m components
fi
echo "built $image, revision $revision"
