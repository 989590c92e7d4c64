"""The bill of materials names what the lock file pins, all of it and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests import PROJECT

LOCK = (PROJECT / "requirements.lock").read_text()


def test_the_bill_of_materials_names_every_package_of_the_lock_with_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "new" / "sbom.cdx.json"
    subprocess.run([sys.executable, str(PROJECT / ".ci" / "sbom.py"), str(file)], check=True)
    told = json.loads(file.read_text())
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    named = {(each["name"], each["version"]) for each in told["components"]}
    assert named == set(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE))
    hashes = {
        digest["content"]
        for each in told["components"]
        for reference in each["externalReferences"]
        for digest in reference["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:(\w+)", LOCK))
    assert len({each["bom-ref"] for each in told["components"]}) == len(told["components"]) > 100
