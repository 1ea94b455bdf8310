# Sourced by the other scripts: the image that is meant, and what builds and runs it here.
#   NAME  another name and tag of the image
target=${1:-cpu}
case $target in
    cpu) image=keras-pipeline-python:latest ;;
    gpu | tpu | serving) image=keras-pipeline-python-$target:latest ;;
    *) echo "error: TARGET=$target, expected cpu, gpu, tpu or serving" >&2 && exit 2 ;;
esac
image=${NAME:-$image}

# Docker without BuildKit's plugin can't read the Dockerfile.
if docker info >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; then
    tool=docker
elif command -v buildah >/dev/null; then
    tool=buildah
    # Without a daemon and inside another container there are no namespaces to be had, so a chroot has to do.
    export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
elif command -v podman >/dev/null; then
    tool=podman
else
    echo "error: no docker with buildx, podman or buildah; on Debian: apt-get install buildah podman" >&2
    exit 2
fi

# Run a command in the image. Without a TPU its library would ask Google's servers for minutes which one it has.
in_image() {
    if [ $tool = buildah ]; then
        container=$(buildah from --pull-never "$image") || exit 2
        code=0
        buildah run --env TPU_SKIP_MDS_QUERY=1 "$container" -- "$@" || code=$?
        buildah rm "$container" >/dev/null
        return $code
    fi
    $tool run --rm --env TPU_SKIP_MDS_QUERY=1 "$image" "$@"
}
