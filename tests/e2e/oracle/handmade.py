"""Inventories made by hand: (name, [{path: text} for each -i])."""

from pathlib import Path

PEEL = {
    "10_hosts.yml": "all:\n  vars: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1}\nregistry_mirror:\n  hosts:\n    rm1: {e: 5, f: 5}\n    rm2:\n",
    "20_more.yml": "all:\n  vars: {b: 2}\nregistry_mirror:\n  vars: {b: 3, c: 3, d: 3, e: 3, f: 3}\n",
    "group_vars/all/aa.yml": "b: 4\nc: 4\n", "group_vars/all/zz.yml": "c: 5\n", "group_vars/all.yml": "b: never\n",
    "group_vars/registry_mirror.yml": "d: 6\ne: 6\n", "group_vars/registry_mirror.yaml": "d: never\n",
    "host_vars/rm1.yml": "f: 7\n", "extra/group_vars/all.yml": "b: never\n", "extra/x.yml": "all: {vars: {a: 9}}\n",
}
DEPTH = {"hosts.yml": """all:
  children:
    prod:
      vars: {v1: prod}
      children:
        registry_mirror:
          vars: {v1: rm, v2: rm, v3: rm, v4: rm}
          hosts: {rm1: }
    aaa:
      vars: {v2: aaa, v4: aaa, ansible_group_priority: 10}
      children:
        deep1:
          vars: {v5: deep1}
          children:
            deep2:
              vars: {v5: deep2}
              hosts: {rm1: }
    zzz: {hosts: {rm1: }}
    bbb: {vars: {v3: bbb, v6: bbb}, hosts: {rm1: }}
    ccc: {vars: {v6: ccc}, hosts: {rm1: }}
    bbp: {vars: {v7: bbp, ansible_group_priority: 5}, hosts: {rm1: }}
    ccp: {vars: {v7: ccp}, hosts: {rm1: }}
"""}
TYPES = """all:
  hosts:
    h:
      a: [yes, No, on, OFF, True, TRUE, y, n, tRue, "yes"]
      b: [0644, 017, 019, 08, 0o644, 0x1F, 0b101, 1_000000, 012345670123, 012345678901]
      c: [12:30:45, 1:30, 00:11:22:33:44:55, 1e3, 1.0e+3, 1.0e5, .5, 12:30:45.5]
      d: [2.10, 2.8.3, "registry:2.8.3", 2024-01-01, 2024-01-01T10:00:00Z, ~, null, NULL, ""]
      e: &base {x: 1, y: 2}
      f: {<<: *base, y: 3}
      g: {y: 4, <<: [*base, {z: 5, x: 9}]}
      h: *base
      i: !unsafe "{{ x }}"
      j: !unsafe [a, "{{ b }}"]
      k: !!str 5
      l: "it''s"
      m: 'it''s'
      n: >
        folded
        text

      o: |+
        kept

      p: {dup: 1, "q r": 2, 5: five}
      q: <<EOF
      r: << prefix >>-mirror
      s: a: b
""".replace("      s: a: b\n", "")
TEXT = "$ANSIBLE_VAULT;1.1;AES256"


def cases(sealed):
    """`sealed(text, id)` is a text as ansible-vault has it."""
    def inline(text, name=None):
        return "!vault |\n" + "".join(f"          {line}\n" for line in sealed(text, name).splitlines())

    expressions = (Path(__file__).parent / "expressions.txt").read_text().splitlines()
    quoted = ["    e%03d: '%s'\n" % (number, text.replace("'", "''")) for number, text in enumerate(expressions)]
    templates = ("all:\n  vars:\n    d: {b: 1, a: [1, 2.0, 'é', null, true], c: {}}\n"
                 "    l: [1, 2.5, 'x', null, true, \"it's\", [1], {a: b}]\n"
                 "    cyc1: '{{ cyc2 }}'\n    cyc2: '{{ cyc1 }}'\n" + "".join(quoted) +
                 "  children:\n    web:\n      hosts:\n        a.example: {who: me}\n"
                 "        b: {who: '{{ \"you\" }}', greeting: 'hi {{ who }}'}\n")
    return [
        ("precedence", [PEEL]),
        ("two sources", [PEEL, {"hosts.yml": "all: {vars: {a: 9, f: 9}}\n", "group_vars/all.yml": "c: 9\n"}]),
        ("two sources, the other way round", [{"hosts.yml": "all: {vars: {a: 9, f: 9}}\n", "group_vars/all.yml": "c: 9\n"}, PEEL]),
        ("groups by depth", [DEPTH]),
        ("YAML 1.1", [{"hosts.yml": TYPES}]),
        ("expressions", [{"hosts.yml": templates}]),
        ("times", [{"h.yml": "all:\n  hosts:\n    h:\n      at: 2024-01-01T10:00:00Z\n      day: 2024-01-01\n"
                             "      odd: 2024-1-1 9:05:07.5 -5:30\n      same: '{{ day }}'\n      copy: '{{ at }}'\n"}]),
        ("order of names", [{name: f"all: {{vars: {{last: {name[0]}}}, hosts: {{h: }}}}\n" for name in
                             ["Z.yml", "a.yml", "10.yml", "9.yml", "vars.yml", "sensitive_vars.yml"]}]),
        ("names of variable files", [{"h.yml": "all: {hosts: {h: }}\n", **{f"group_vars/all/{name}": f"v{at}: 1\nlast: {at}\n" for at, name in
                                     enumerate(["10-a.yml", "9-b.yml", "B.yml", "_x.yml", "a.yml", "j.yaml", "noext", "sub/z.yml",
                                                ".hid.yml", "t.yml~", "k.txt", "l.bak", "m.ini", "s.d/n.yml", "Y.YML"])},
                                      "group_vars/all/c.json": "{\"json\": 1e5}"}]),
        ("a bare name hides the others", [{"h.yml": "all: {hosts: {h: }}\n", "host_vars/h": "a: 1\n", "host_vars/h.yml": "a: 2\n"}]),
        ("ignored names", [{"h.yml": "all: {hosts: {h: }}\n", **{name: "all: {vars: {seen: yes}}\n" for name in
                            [".a.yml", "b.yml~", "c.bak", "d.md", "e.txt", "f.rst", "g.orig", "h.cfg", "i.retry", "j.swp"]}}]),
        ("ranges and ports", [{"hosts": "rm[01:03]\nx[a:c].example:2200 v=1\n[2001:db8::1]:2222\ns[1:5:2]\n"}]),
        ("INI", [{"hosts": "[g]\nh lst=\"[1,'a']\" q='a b' n=5 # c\n[g:vars]\n" + "".join(f"v{at}={value}\n" for at, value in enumerate(
            ["true", "True", "yes", "5000", "0644", "0o644", "1e3", "None", "null", "", "\"5000\"", "['a','b']", "(1,2)",
             "{\"a\": 1, \"b\": true}", "2024-01-01", "-1", "1_000", "a # b", "5 # b", "a=b", "{{ v1 }}"]))}]),
        ("INI that fails", [{"hosts": "[g:vars]\ncolon: value\n[g]\nh\n"}]),
        ("children and ungrouped", [{"hosts": "free\n[a]\nh1\n[b:children]\na\n[c]\n"}]),
        ("JSON", [{"hosts.json": "{\"all\": {\"hosts\": {\"h\": {\"f\": 1e5, \"g\": 1.0, \"s\": \"yes\", \"n\": null}}}}"}]),
        ("the shape of a script", [{"hosts.json": "{\"g\": {\"hosts\": [\"h\"]}}"}]),
        ("a list of hosts", [{"hosts.yml": "all: {hosts: [h1]}\n"}]),
        ("hosts as a word", [{"hosts.yml": "all: {hosts: h9}\n"}]),
        ("nothing in it", [{"hosts.yml": "all:\n  vars:\n  hosts:\n    h:\n"}]),
        ("a stray brace", [{"vars.yml": "all:\n  vars:\n    a: 1\n}\n"}]),
        ("two documents", [{"vars.yml": "all: {hosts: {h: }}\n---\nb: 1\n"}]),
        ("a circle of groups", [{"h.yml": "a: {children: {b: {children: {a: }}}, hosts: {h: }}\n"}]),
        ("vault", [{"h.yml": "all:\n  hosts:\n    h:\n      plain: 1\n      one: " + inline("first") + "      two: " +
                    inline("{{ plain }}", "dev") + "      three: '{{ one }}!'\n"}]),
        ("a vaulted file", [{"h.yml": "all: {hosts: {h: }}\n", "sealed.yml": sealed("all: {vars: {inside: 1}}\n", None),
                             "group_vars/all.yml": sealed("beside: [1, 2]\n", None)}]),
        ("a list of variables", [{"h.yml": "all: {hosts: {h: }}\n", "group_vars/all.yml": "- a\n"}]),
        ("an empty file of variables", [{"h.yml": "all: {hosts: {h: }}\n", "group_vars/all.yml": "---\n# nothing\n"}]),
        ("unquoted braces", [{"h.yml": "all: {hosts: {h: }}\n", "group_vars/all.yml": "a: {{ b }}-c\n"}]),
        ("unknown tag", [{"h.yml": "all: {hosts: {h: }}\n", "group_vars/all.yml": "a: !custom x\n"}]),
        ("an equals sign", [{"h.yml": "all: {hosts: {h: }}\n", "group_vars/all.yml": "a: =\n"}]),
        ("priority in group_vars", [{"h.yml": "a: {vars: {v: a}, hosts: {h: }}\nb: {vars: {v: b}, hosts: {h: }}\n",
                                     "group_vars/a.yml": "ansible_group_priority: 10\n"}]),
    ]
