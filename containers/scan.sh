#!/bin/sh
# List what an image holds: scan.sh [cpu|gpu|tpu|serving]. Its bills of materials, which were made with it, go to build/.
set -eu
cd "$(dirname "$0")/.."
. containers/tool.sh
mkdir -p build
for part in python debian; do
    file=build/sbom-$target-$part.cdx.json
    in_image cat "/app/sbom/$part.cdx.json" >"$file.partial"
    mv "$file.partial" "$file"
    echo "$file"
done
echo
python3 containers/licences.py build/sbom-$target-*.cdx.json
echo
echo "what fills the image, MB:"
in_image sh -c 'du -xsm / 2>/dev/null; cd /opt/venv/lib/python3.*/site-packages; du -sm * | sort -rn | head -12'
