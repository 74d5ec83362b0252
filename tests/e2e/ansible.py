"""Inventories as this program reads them, beside ansible-core, which says what is right.

ORACLE_SEED=N tries the generated inventory N alone. What differs is kept under
target/e2e/ansible/cases/. A difference that is meant stands in ACCEPTED and in docs/configuration.md.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

from oracle import generate, handmade
from support.lab import ROOT, Failed, Lab, from_pypi

PINNED = ["ansible-core==2.19.14"]
GENERATED = 320
PASSWORD = "pw"
VALUE = {"ORACLE_VALUE": "found"}

# (case, expression) -> what docs/configuration.md says of it.
ACCEPTED = {
    ("expressions", "{{ omit_me | default(omit) }}"): "`omit` is null",
    ("times", "{{ at }}"): "a time of day that goes through a template is text as it was written",
}


# What Ansible's validator of arguments says of nothing at all, and of a port that is none.
SPECS = """
import sys, yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
options = yaml.safe_load(open(sys.argv[1]))["argument_specs"]["main"]["options"]
validator = ArgumentSpecValidator({name: {key: value for key, value in option.items() if key != "description"}
                                   for name, option in options.items()})
for given in [{}, {"registry_mirror_listen_port": "x"}]:
    print(validator.validate(given).error_messages)
"""


class Case:
    def __init__(self, name, root, inventories):
        self.name, self.root, self.sources = name, root, []
        for number, files in enumerate(inventories):
            for path, text in files.items():
                file = root / f"i{number}" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            self.sources.append(str(root / f"i{number}"))

    def ours(self, render):
        words = [os.environ["MIRROR_BIN"], "inventory", "--list", *(["--render"] if render else [])]
        for source in self.sources:
            words += ["-i", source]
        environment = dict(os.environ, **VALUE, ANSIBLE_VAULT_PASSWORD_FILE=str(self.root.parent / "password"))
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=60)
        if done.returncode not in (0, 1, 2):
            raise Failed(f"{self.name}: status {done.returncode}: {done.stderr[-500:]}")
        return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr


def unmarked(value):
    """Without the marks of text that is no template, which only the command prints."""
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {key: unmarked(inner) for key, inner in value.items()}
    return [unmarked(inner) for inner in value] if isinstance(value, list) else value


def is_error(value):
    return isinstance(value, dict) and "__error__" in value


def same(ours, theirs):
    """Strictly: 5, 5.0, "5" and true are four values. NaN is none of ours."""
    if is_error(ours) or is_error(theirs):
        return is_error(ours) and is_error(theirs)
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def members(listed, group, seen=()):
    """All hosts of a group of the list, those of its children included."""
    entry = listed.get(group, {})
    found = list(entry.get("hosts", []))
    for child in entry.get("children", []):
        if child not in seen:
            found += members(listed, child, (*seen, group))
    return sorted(set(found))


def differences(case, theirs, used):
    """What differs, a line each."""
    written, said = case.ours(False)
    if "refused" in theirs or written is None:
        if written is None and "refused" in theirs:
            return []
        verdict = f"Ansible {'refuses' if 'refused' in theirs else 'accepts'}, we {'refuse' if written is None else 'accept'}"
        return [f"{case.name}: {verdict} {said.strip()[:300]}"]
    found = []
    for group, hosts in theirs["groups"].items():
        if members(written, group) != sorted(hosts):
            found.append(f"{case.name}: group {group}: ours {members(written, group)}, theirs {sorted(hosts)}")
    rendered = case.ours(True)[0] if theirs["rendered"] else None
    for ours, right, how in [(written, theirs["hosts"], "written"), (rendered, theirs["rendered"], "rendered")]:
        if ours is None:
            continue
        ours = ours["_meta"]["hostvars"]
        for host, values in right.items():
            mine = ours.get(host, {})
            for name in sorted(set(values) | set(mine)):
                expression = theirs["hosts"][host].get(name)
                if how == "rendered" and "<< " in str(expression):
                    continue  # A template of ours, and none to Ansible.
                if same(unmarked(mine.get(name, "not there")), values.get(name, "not there")):
                    continue
                key = (case.name, expression if isinstance(expression, str) else name)
                if key in ACCEPTED:
                    used.add(key)
                    continue
                found.append(f"{case.name}: {how}: {host}: {name} ({expression!r}): ours {json.dumps(mine.get(name, 'not there'))}, "
                             f"theirs {json.dumps(values.get(name, 'not there'))}")
    return found


def ask(python, lab, cases, part):
    questions = lab.dir / f"questions-{part}.json"
    questions.write_text(json.dumps({"cases": [{"sources": case.sources, "render": True} for case in cases]}))
    done = subprocess.run([python, Path(__file__).parent / "oracle" / "answer.py", questions], capture_output=True, text=True,
                          env=dict(os.environ, **VALUE, ANSIBLE_LOCALHOST_WARNING="0"), check=False, timeout=900)
    if done.returncode:
        raise Failed(f"the oracle failed: {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def seal(python):
    def sealed(text, name):
        program = ("import sys;from ansible.parsing.vault import VaultLib,VaultSecret;s=VaultSecret(b'pw');"
                   "sys.stdout.write(VaultLib([('default',s)]).encrypt(sys.argv[1],s,vault_id=sys.argv[2] or None).decode())")
        return subprocess.run([python, "-c", program, text, name or ""], capture_output=True, text=True, check=True).stdout
    return sealed


def planted(lab, case, theirs):
    """The judge is judged: one changed value, one host less, one group less are found."""
    host = next(iter(theirs["hosts"]))
    name = next(iter(theirs["hosts"][host]))
    changes = [lambda it: it["hosts"][host].update({name: "planted"}), lambda it: it["hosts"][host].pop(name),
               lambda it: it["groups"].update({"all": ["planted"]})]
    for change in changes:
        changed = json.loads(json.dumps(theirs))
        change(changed)
        if not differences(case, changed, set()):
            return False
    return True


def main():
    with Lab("ansible") as lab:
        python = from_pypi("venv-ansible", PINNED) / "python"
        root = lab.dir / "cases"
        root.mkdir()
        (root / "password").write_text(PASSWORD)
        seed = os.environ.get("ORACLE_SEED")
        hand = [] if seed else [Case(name, root / f"hand{number}", files) for number, (name, files) in
                                enumerate(handmade.cases(seal(python)))]
        made = [Case(f"seed {number}", root / f"seed{number}", generate.inventories(number))
                for number in ([int(seed)] if seed else range(GENERATED))]
        cases = hand + made
        half = (len(cases) + 1) // 2
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            parts = list(pool.map(lambda at: ask(python, lab, cases[at * half:(at + 1) * half], at), range(2)))
        answers = parts[0] + parts[1]
        used = set()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            judged = list(pool.map(lambda pair: differences(*pair, used), zip(cases, answers)))
        for kind, first, last in [("by hand", 0, len(hand)), ("generated", len(hand), len(cases))]:
            found = [line for lines in judged[first:last] for line in lines]
            wrong = sum(1 for lines in judged[first:last] if lines)
            for line in found[:40]:
                print(f"     {line}")
            lab.check(f"{last - first} inventories {kind} are what ansible-core makes of them", not found,
                      f"{wrong} differ" if wrong else "")
        refused = sum(1 for answer in answers if "refused" in answer)
        hosts = sum(len(answer.get("hosts", {})) for answer in answers)
        lab.check("most of them are inventories", refused * 5 < len(cases) or bool(seed), f"{refused} refused, {hosts} hosts")
        if seed:
            return
        lab.check("every accepted difference is one", used == set(ACCEPTED), str(set(ACCEPTED) - used))
        page = (ROOT / "docs" / "configuration.md").read_text()
        untold = [reason for reason in ACCEPTED.values() if reason not in page]
        lab.check("every accepted difference is documented", not untold, ", ".join(untold))
        lab.check("differences are found where there are some", planted(lab, hand[0], answers[0]))
        specs = ROOT / "packaging" / "ansible" / "roles" / "registry_mirror" / "meta" / "argument_specs.yml"
        answers = lab.run([python, "-c", SPECS, specs]).splitlines()
        lab.check("Ansible takes the role's argument_specs and their defaults", answers[0] == "[]", answers[0])
        lab.check("and refuses by them what is no port", "listen_port" in answers[1], answers[1])
        command = from_pypi("venv-ansible", PINNED) / "ansible-inventory"
        wrong = []
        for case in [case for case, answer in zip(cases, answers) if "hosts" in answer][:10]:
            words = [word for source in case.sources for word in ["-i", source]]
            theirs = subprocess.run([command, "--list", *words], capture_output=True, text=True, check=True,
                                    env=dict(os.environ, ANSIBLE_VAULT_PASSWORD_FILE=str(root / "password"))).stdout
            if not same(case.ours(False)[0], json.loads(theirs)):
                wrong.append(case.name)
        lab.check("ten of them are printed as ansible-inventory prints them", not wrong, ", ".join(wrong))


if __name__ == "__main__":
    sys.exit(main())
