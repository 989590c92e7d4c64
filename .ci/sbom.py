"""Write what `requirements.lock` pins as a bill of materials: `python .ci/sbom.py FILE`, CycloneDX 1.6 in JSON.

Each package comes with its version, the markers under which it is installed, and the hashes of its files on PyPI.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([\w.-]+)==([\w.!+-]+)(?: *; *(.+?))?(?: \\)?$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main() -> None:
    """Write the bill into the file named."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill((ROOT / "requirements.lock").read_text()), indent=1) + "\n")


def bill(lock: str) -> dict[str, Any]:
    """Return the bill of a lock file; the same lock gives the same bill."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = {"type": "application", "name": project["name"], "version": project["version"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**told, "bom-ref": project["name"]}},
        "components": list(components(lock)),
    }


def components(lock: str) -> Iterator[dict[str, Any]]:
    """Yield a component for each package of a lock file; raises ValueError for a line that pins none."""
    for entry in re.split(r"\n(?=[^\s#])", lock.strip()):
        pin = PIN.match(entry.partition("\n")[0])
        if pin is None:
            raise ValueError(f"requirements.lock has a line that pins nothing: {entry:.80}")
        name, version, marker = pin.groups()
        address = f"pkg:pypi/{name.lower()}@{version}"
        hashes = [{"alg": "SHA-256", "content": each} for each in HASH.findall(entry)]
        files = {"type": "distribution", "url": f"https://pypi.org/simple/{name.lower()}/", "hashes": hashes}
        yield {
            "type": "library",
            "bom-ref": address,
            "name": name,
            "version": version,
            "purl": address,
            "externalReferences": [files],
            **({"properties": [{"name": "python:marker", "value": marker}]} if marker else {}),
        }


if __name__ == "__main__":
    main()
