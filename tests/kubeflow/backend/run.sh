#!/bin/sh
# Run the compiled pipeline on Kubeflow's own programs: `make kubeflow KUBEFLOW_PROGRAMS=FOLDER`, as root, on Linux.
# What is built here is built once, into $XDG_CACHE_HOME/keras-pipeline/kubeflow. See docs/kubeflow.md.
set -eu
cd "$(dirname "$0")"
root=$PWD/../../..
cache=${XDG_CACHE_HOME:-$HOME/.cache}/keras-pipeline/kubeflow
for program in apiserver driver launcher-v2 persistence_agent workflow-controller argoexec; do
    [ -x "${KUBEFLOW_PROGRAMS:-}/$program" ] ||
        { echo "error: KUBEFLOW_PROGRAMS=${KUBEFLOW_PROGRAMS:-}: expected a folder with the program $program" >&2; exit 2; }
done
for program in go containerd runc mariadbd mariadb-install-db buildah openssl ip /usr/lib/cni/bridge; do
    command -v "$program" >/dev/null || { echo "error: $program is missing; docs/kubeflow.md names the packages" >&2; exit 2; }
done
if pgrep -x kubelet >/dev/null; then
    echo "error: a kubelet is running here already; two would take each other's pods away" >&2
    exit 2
fi
mkdir -p "$cache/bin"

# Kubernetes' programs and a server for S3. The go command looks what of them has changed.
GOBIN=$cache/bin CGO_ENABLED=0 go install -ldflags='-s -w' tool
mv "$cache/bin/server" "$cache/bin/etcd"
if ! [ -x "$cache/metadata/bin/python" ]; then
    "$root/.venv/bin/uv" venv --quiet "$cache/metadata"
    "$root/.venv/bin/uv" pip install --quiet --python "$cache/metadata" ml-metadata==1.17.1 grpcio==1.85.3
fi

mkdir -p "$cache/programs"
cp "$KUBEFLOW_PROGRAMS/driver" "$KUBEFLOW_PROGRAMS/launcher-v2" "$KUBEFLOW_PROGRAMS/argoexec" "$cache/programs"
BUILDAH_ISOLATION=chroot buildah build --quiet --layers --tag localhost/kubeflow/pod \
    --build-context "data=$TFDS_DATA_DIR" --build-context "programs=$cache/programs" . >/dev/null
rm -f "$cache/pod.tar"
buildah push --quiet localhost/kubeflow/pod "docker-archive:$cache/pod.tar:localhost/kubeflow/pod:latest"

# All that starts in these namespaces ends with them, pods too; what it changes there is gone, and no network is there.
# The kubelet finds the machine's settings as it would set them.
state=$(mktemp -d)
code=0
KUBEFLOW_CACHE=$cache KUBEFLOW_STATE=$state unshare --net --mount --pid --fork --kill-child --mount-proc sh -euc '
    mount -t tmpfs tmpfs /run
    for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
        name=${setting%=*}
        echo "${setting#*=}" >"/run/${name#*/}" && mount --bind "/run/${name#*/}" "/proc/sys/$name"
    done
    cd "$0" && exec .venv/bin/python -m pytest tests/kubeflow/backend "$@"' "$root" "$@" || code=$?
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
if [ $code = 0 ]; then rm -rf "$state"; else echo "logs are in $state/logs" >&2; fi
exit $code
