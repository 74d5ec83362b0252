"""What `validate` writes for machines, by the schema that its readers publish: SARIF 2.1.0 is OASIS's.

GitLab publishes its own in its source alone (app/validators/json_schemas/codeclimate.json), which no
package carries; all that it and the documentation demand is in GITLAB.
"""

import copy
import hashlib
import json
import os
import subprocess
import sys

from support.lab import Lab, from_crates, from_pypi

# The crate has OASIS's schema in it.
SCHEMA = ("serde-sarif", "0.8.0", "src/schema.json",
          "af47e7b67f24efe74076621fd3a5fbe7398add9e84fe820c971219a385895cea")
PINNED = ["jsonschema[format-nongpl]==4.25.1"]

# Prints a line for each document that is wrong.
JUDGE = """
import json, sys
from jsonschema import Draft7Validator
schema = json.load(open(sys.argv[1]))
Draft7Validator.check_schema(schema)
validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
for name in sys.argv[2:]:
    for error in list(validator.iter_errors(json.load(open(name))))[:3]:
        print(f"{name}: {error.json_path}: {error.message[:200]}")
"""

# What GitLab demands of a Code Quality report.
GITLAB = {
    "type": "array", "items": {
        "type": "object", "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            **{name: {"type": "string", "minLength": 1} for name in ["description", "check_name", "fingerprint"]},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object", "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^(?!\\./|/)."},
                    "lines": {"type": "object", "required": ["begin"],
                              "properties": {"begin": {"type": "integer", "minimum": 1}}}}}}}}

GOOD = "all:\n  vars:\n    prefix: acme\n    aws_region: eu-west-1\n"
INVENTORIES = {
    "nothing to say": {"hosts.yml": GOOD + "  hosts:\n    localhost:\n"},
    "a warning": {"hosts.yml": GOOD + "    registry_mirror_tls_certificate: /c.pem\n"},
    "errors": {"hosts.yml": GOOD + "    registry_mirror_listen_port: nope\n    registry_mirror_lsiten_port: 1\n",
               "with blanks and größe.yml": "all: {vars: {registry_mirror_x: 1, registry_mirror_y: 2}}\n"},
    "no verdict": {"hosts.yml": GOOD + "    registry_mirror_docker_hub_password: !vault |\n"
                   "      $ANSIBLE_VAULT;1.1;AES256\n      6162\n"},
    "nothing that parses": {"hosts.yml": "all: [\n", "other.ini": "[a\n"},
    "several hosts": {"hosts.yml": GOOD + "  hosts:\n    a: {registry_mirror_tag_ttl: soon}\n    b: {}\n"},
}


def reports(lab, format, results):
    """Writes a report for each inventory and way; returns the files, and which say too much or nothing."""
    documents, silent = [], []
    for number, (name, files) in enumerate(INVENTORIES.items()):
        root = lab.dir / f"i{number}"
        for file, text in files.items():
            root.mkdir(exist_ok=True)
            (root / file).write_text(text, encoding="utf-8")
        for options in [[], ["--all-hosts"], ["--overlay", f"{root}/new.yml={root}/hosts.yml"]]:
            command = [os.environ["MIRROR_BIN"], "validate", "-i", root.name, "--format", format, *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=lab.dir)
            document = lab.dir / f"{len(documents)}.{format}"
            document.write_text(done.stdout)
            documents.append(document)
            if bool(results(json.loads(done.stdout))) == (name == "nothing to say"):
                silent.append(f"{format}: {name} {options}")
    return documents, silent


def found_out(lab, judge, good, damage):
    """How many of these damages to a good report the judge sees."""
    found = 0
    for number, (where, value) in enumerate(damage):
        bad = copy.deepcopy(good)
        at = bad
        for step in where[:-1]:
            at = at[step]
        at[where[-1]] = value
        file = lab.dir / f"bad{number}.json"
        file.write_text(json.dumps(bad))
        found += judge([file]) != ""
    return found


def main():
    with Lab("reports") as lab:
        crate, version, path, wanted = SCHEMA
        schema = from_crates(crate, version) / path
        seen = hashlib.sha256(schema.read_bytes()).hexdigest()
        lab.check("the schema is the one that was looked at", seen == wanted, "" if seen == wanted else seen)
        python = from_pypi("venv-jsonschema", PINNED) / "python"
        gitlab = lab.dir / "gitlab.schema.json"
        gitlab.write_text(json.dumps(GITLAB))
        for format, rules, results, damage, title in [
                ("sarif", schema, lambda it: it["runs"][0]["results"], DAMAGE, "SARIF 2.1.0"),
                ("gitlab", gitlab, lambda it: it, GITLAB_DAMAGE, "what GitLab takes")]:
            judge = lambda names: lab.run([python, "-c", JUDGE, rules, *names])
            documents, silent = reports(lab, format, results)
            lab.check(f"each {format} report says what it should", not silent, ", ".join(silent))
            wrong = judge(documents)
            lab.check(f"{len(documents)} reports are {title}", wrong == "", wrong)
            # Of the inventory with errors.
            found = found_out(lab, judge, json.loads(documents[6].read_text()), damage)
            lab.check(f"a damaged {format} report is found out", found == len(damage), f"{found} of {len(damage)}")


DAMAGE = [
    (["version"], "2.0"),
    (["runs", 0, "results", 0, "level"], "terrible"),
    (["runs", 0, "results", 0, "message"], "text"),
    (["runs", 0, "results", 0, "locations", 0, "physicalLocation", "region", "startLine"], 0),
    (["runs", 0, "tool", "driver", "name"], 1),
    (["runs", 0, "nothing"], True),
]
GITLAB_DAMAGE = [
    ([0, "description"], ""),
    ([0, "check_name"], None),
    ([0, "fingerprint"], 7),
    ([0, "severity"], "error"),
    ([0, "location"], {"path": "x.yml"}),
    ([0, "location", "path"], "./x.yml"),
    ([0, "location", "lines", "begin"], 0),
]


if __name__ == "__main__":
    sys.exit(main())
