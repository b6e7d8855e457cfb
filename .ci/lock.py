"""Print a file for ``pip install --require-hashes -r`` from the report of ``pip install --dry-run`` on stdin."""

import json
import re
import sys

for package in sorted(json.load(sys.stdin)["install"], key=lambda one: one["metadata"]["name"].lower()):
    about, archive = package["metadata"], package["download_info"].get("archive_info")
    if archive:  # fasray itself is a folder
        name = re.sub(r"[-_.]+", "-", about["name"]).lower()
        print(f"{name}=={about['version']} --hash=sha256:{archive['hashes']['sha256']}")
