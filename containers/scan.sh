#!/bin/sh
# List what an image holds: scan.sh [cpu|gpu|tpu]. Its bills of materials, which were made with it, go to build/.
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
# Name, version and licence of each.
python3 - build/sbom-$target-*.cdx.json <<'END'
import json
import sys

for path in sys.argv[1:]:
    for part in json.load(open(path))["components"]:
        texts = [entry.get("expression") or entry["license"].get("id") or entry["license"].get("name", "") for entry in part.get("licenses", [])]
        print(f"{part['name']:40} {part.get('version', ''):28} {', '.join(filter(None, texts)) or 'not said'}")
END
echo
echo "what fills the image, MB:"
in_image sh -c 'du -xsm / 2>/dev/null; cd /opt/venv/lib/python3.*/site-packages; du -sm * | sort -rn | head -12'
