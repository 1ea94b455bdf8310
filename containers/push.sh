#!/bin/sh
# Push the built image to REGISTRY/<name> and print its name with the digest that the registry gave it.
set -eu
name=${NAME:-keras-pipeline-python:latest}
: "${REGISTRY:?error: REGISTRY=… is missing, such as us-central1-docker.pkg.dev/my-project/images}"
target=$REGISTRY/$name
if docker info >/dev/null 2>&1; then
    docker tag "$name" "$target"
    docker push --quiet "$target" >/dev/null
    docker image inspect --format '{{index .RepoDigests 0}}' "$target"
else
    digest=$(mktemp)
    trap 'rm -f "$digest"' EXIT
    buildah push --quiet ${PUSH_OPTIONS:-} --digestfile "$digest" "$name" "docker://$target"
    echo "$(echo "$target" | sed 's/:[^:/]*$//')@$(cat "$digest")"
fi
