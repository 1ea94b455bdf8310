"""Print name, version and licence of each package in bills of materials (CycloneDX): licences.py FILE..."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Print a line a package. Debian's bill names each source package too, which isn't in the image."""
    for file in sys.argv[1:]:
        for package in json.loads(Path(file).read_text(encoding="utf-8"))["components"]:
            kind = package.get("purl", "")
            if "arch=source" in kind:
                continue
            entries = package.get("licenses", [])
            said = [e.get("expression") or e["license"].get("id") or e["license"].get("name") for e in entries]
            elsewhere = f"/usr/share/doc/{package['name']}/copyright" if kind.startswith("pkg:deb/") else "not said"
            print(f"{package['name']:40} {package['version']:28} {', '.join(filter(None, said)) or elsewhere}")


if __name__ == "__main__":
    main()
