#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the golden configs against the JSON Schema: every good one passes, and of the bad ones those that a schema can
tell do not. Usage: check-schema.py GEN_KEYS FOLDER. Skipped (77) without the jsonschema and yaml modules."""

import glob
import json
import os
import subprocess
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# What is wrong here stands in the shape of the file, so the schema finds it, too.
SCHEMA_FINDS = [
    "conflict-defaults", "foreign-admission", "foreign-compose", "foreign-isolation", "foreign-more", "foreign-more-listen",
    "foreign-more-unit", "foreign-systemd", "foreign-values", "foreign-xinetd",
    "missing-keys", "out-of-range", "unknown-everywhere", "unknown-misspelt-required",
    "wrong-services", "wrong-types", "wrong-types-more", "bad-values", "bad-values-more", "bad-endpoints",
    "yaml-not-a-mapping",
]


def load(path):
    with open(path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def main():
    gen_keys, folder = sys.argv[1:]
    schema = json.loads(subprocess.run([gen_keys, "schema"], check=True, capture_output=True).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    failed = 0
    good = sorted(glob.glob(os.path.join(folder, "*.ok")))
    for path in [p[:-3] + ".yaml" for p in good]:
        for error in validator.iter_errors(load(path)):
            print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message}")
            failed += 1
    for name in SCHEMA_FINDS:
        if validator.is_valid(load(os.path.join(folder, name + ".yaml"))):
            print(f"{name}.yaml: the schema finds nothing wrong with it")
            failed += 1
    print(f"{len(good)} good ones, {len(SCHEMA_FINDS)} bad ones, {failed} failed")
    return 1 if failed or not good else 0


sys.exit(main())
