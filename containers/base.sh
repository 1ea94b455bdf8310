#!/bin/sh
# Make a base image of Debian and its Python without an image registry: needs root, debootstrap and buildah.
set -eu
suite=bookworm
mirror=${DEBIAN_MIRROR:-$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" $mirror >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/var/log/*
container=$(buildah from scratch)
buildah add "$container" "$root" / >/dev/null
buildah commit --rm "$container" localhost/keras-pipeline-base:latest >/dev/null
