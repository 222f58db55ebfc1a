#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds documents against definitions of a JSON Schema. Usage: validate.py SCHEMA, with a line of JSON on stdin for each
document: {"what", "definition", "document"}; "definition" null: the schema as a whole. Prints what is wrong, and ends
with 1 then; 77 without the jsonschema module, which Debian's python has from its package python3-jsonschema."""
import json
import sys

try:
    import jsonschema
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft7Validator.check_schema(schema)
    failed = count = 0
    for line in sys.stdin:
        entry = json.loads(line)
        name = entry["definition"]
        count += 1
        if name is not None and name not in schema["definitions"]:
            print(f"{entry['what']}: no definition {name}")
            failed += 1
            continue
        part = {**schema, "$ref": f"#/definitions/{name}"} if name else schema
        for error in jsonschema.Draft7Validator(part).iter_errors(entry["document"]):
            print(f"{entry['what']}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
            failed += 1
    print(f"{count} documents, {failed} failed")
    return 1 if failed or not count else 0


sys.exit(main())
