#!/bin/sh
# Make a base image of Debian and its Python without an image registry: base.sh NAME
# Needs root, debootstrap and buildah. An image of that name that is there stays; remove it for a newer one.
set -eu
name=$1
suite=bookworm
if buildah inspect --type image "$name" >/dev/null 2>&1; then
    echo "base $name is there"
    exit
fi
mirror=${DEBIAN_MIRROR:-$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" $mirror >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
# Of the documentation the licences stay.
find "$root/usr/share/doc" -type f ! -name copyright -delete
container=$(buildah from scratch)
buildah add "$container" "$root" / >/dev/null
buildah commit --rm "$container" "$name" >/dev/null
