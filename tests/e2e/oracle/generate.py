"""Inventories at random: the same for the same seed."""

import json
import random

GROUPS = ["web", "db", "site", "registry_mirror", "aa", "zz"]
HOSTS = ["h1", "h2", "node-3.example", "rm[1:2]"]
NAMES = ["v1", "v2", "v3", "prefix", "shape", "flag"]
# Only these hold templates, which name only those above: Ansible needs hours for some circles.
FILLED = ["t1", "t2"]

YAML = ["yes", "no", "on", "y", "true", "True", "'yes'", "0644", "0o644", "017", "089", "0x1F", "0b101", "1_000",
        "12:30:45", "1:30", "00:11:22", "1e3", "1.0e+3", ".5", "2.10", "2.8.3", "2024-01-01",
        "~", "null", "''", "\"a\\tb\"", "text", "a: b".replace(": ", ":"), "-1", "+3",
        "!!str 5", "!!int '7'", "!!float 3", "!!bool 'yes'", "!unsafe '{{ v1 }}'", "[1, two, [3]]", "{k: 1, l: {m: x}}",
        "|\n{i}  block\n{i}   more\n", ">-\n{i}  folded\n{i}  text\n", "é", "@x".replace("@", "x@y"), "1.5"]
TEMPLATES = ["'{{ prefix }}'", "'{{ v1 }}-{{ v2 }}'", "'{{ v3 | default(5) }}'", "'{{ flag | bool }}'", "'{{ groups.web }}'",
        "'{{ inventory_hostname }}'", "'{{ group_names }}'", "'{{ shape.k | default(9) }}'", "'{{ v2 | upper }}'",
        "'{% if flag is defined %}x{% endif %}y'", "'{{ [v1, 1, true] }}'", "<< prefix >>", "'{{ hostvars[inventory_hostname].v1 }}'"]
INI = ["true", "True", "yes", "5000", "0644", "0o644", "1e3", "None", "null", "", "'quoted'", "['a', 1]", "(1, 2)",
       "{'a': 1}", "{\"a\": true}", "-1", "1_000", "a # b", "5 # c", "a b", "2024-01-01"]
JSON = [1, 1.5, 1e5, "yes", None, True, [1, "a"], {"k": {"l": 2}}, "0644", "é"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def some(self, things, most):
        return self.random.sample(things, self.random.randint(0, min(most, len(things))))

    def yaml_vars(self, indent):
        lines = []
        for name in self.some(NAMES, 4):
            value = self.random.choice(YAML).replace("{i}", indent)
            # Ansible leaves << >> alone: what it means here is tested elsewhere.
            lines.append(f"{indent}{name}: {value}".rstrip("\n"))
        lines += [f"{indent}{name}: {self.random.choice(TEMPLATES)}" for name in self.some(FILLED, 1)]
        return lines

    def yaml(self):
        lines = []
        for group in ["all", *self.some(GROUPS, 3)]:
            lines.append(f"{group}:")
            vars = self.yaml_vars("    ")
            if self.random.random() < 0.3 and group != "all":
                vars.append(f"    ansible_group_priority: {self.random.randint(1, 9)}")
            lines += ["  vars:", *vars] if vars else []
            hosts = self.some(HOSTS, 3)
            if hosts:
                lines.append("  hosts:")
                for host in hosts:
                    own = self.yaml_vars("      ")
                    lines += [f"    {host}:", *own]
            children = [child for child in self.some(GROUPS, 2) if GROUPS.index(child) > (
                GROUPS.index(group) if group in GROUPS else -1)]
            if children:
                lines.append("  children:")
                lines += [f"    {child}:" for child in children]
        return "\n".join(lines) + "\n"

    def ini(self):
        lines = [host for host in self.some(HOSTS, 2)]
        groups = self.some(GROUPS, 3)
        for group in groups:
            lines.append(f"[{group}]")
            for host in self.some(HOSTS, 2):
                own = " ".join(f"{name}={self.random.choice(['5', 'x', '[1,2]', 'True'])}" for name in self.some(NAMES, 2))
                lines.append(f"{host} {own}".rstrip())
            if self.random.random() < 0.6:
                lines.append(f"[{group}:vars]")
                lines += [f"{name}={self.random.choice(INI)}" for name in self.some(NAMES, 3)]
                lines += [f"{name}={{{{ prefix }}}}" for name in self.some(FILLED, 1)]
        if len(groups) > 1 and GROUPS.index(groups[0]) < GROUPS.index(groups[1]):
            lines += [f"[{groups[0]}:children]", groups[1]]
        return "\n".join(lines) + "\n"

    def json(self):
        values = {name: self.random.choice(JSON) for name in self.some(NAMES, 3)}
        hosts = {host: {name: self.random.choice(JSON) for name in self.some(NAMES, 2)} for host in self.some(HOSTS, 2)}
        return json.dumps({"all": {"vars": values, "children": {self.random.choice(GROUPS): {"hosts": hosts}}}})

    def variables(self):
        return "\n".join(["---", *self.yaml_vars("")]) + "\n"

    def files(self):
        """{path: text} of one inventory directory."""
        made = {}
        for name, kind in self.some([("10-a.yml", self.yaml), ("9-b.yaml", self.yaml), ("hosts", self.ini), ("c.ini", self.ini),
                                     ("d.json", self.json), ("sub/e.yml", self.yaml), ("Z.yml", self.yaml)], 4):
            made[name] = kind()
        made.setdefault("hosts.yml", self.yaml())
        for owner in self.some(["all", *GROUPS], 3):
            for ending in self.some(["", ".yml", ".yaml", "/a.yml", "/b", "/sub/c.yaml"], 2):
                path = f"group_vars/{owner}{ending}"
                if not any(known.startswith(path + "/") or path.startswith(known + "/") for known in made):
                    made[path] = self.variables()
        for owner in self.some(["h1", "h2", "rm1"], 2):
            made[f"host_vars/{owner}.yml"] = self.variables()
        for name in self.some(["old.yml.bak", ".hidden.yml", "README.md", "x.yml~", "vars.cfg"], 2):
            made[name] = "all: {vars: {v1: ignored}}\n"
        return made


def inventories(seed):
    """One or two directories."""
    maker = Maker(seed)
    return [maker.files() for _ in range(maker.random.choice([1, 1, 1, 2]))]
