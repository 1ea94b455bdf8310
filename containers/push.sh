#!/bin/sh
# Push an image to REGISTRY and print its name with the digest that the registry gave it: push.sh [cpu|gpu|tpu|serving]
set -eu
: "${REGISTRY:?error: REGISTRY=… is missing, such as us-central1-docker.pkg.dev/my-project/images}"
. "$(dirname "$0")/tool.sh"
pushed=$REGISTRY/$image
if [ $tool = docker ]; then
    docker tag "$image" "$pushed"
    docker push --quiet "$pushed" >/dev/null
    docker image inspect --format '{{index .RepoDigests 0}}' "$pushed"
else
    digest=$(mktemp)
    trap 'rm -f "$digest"' EXIT
    $tool push --quiet ${PUSH_OPTIONS:-} --digestfile "$digest" "$image" "docker://$pushed"
    echo "$(echo "$pushed" | sed 's/:[^:/]*$//')@$(cat "$digest")"
fi
