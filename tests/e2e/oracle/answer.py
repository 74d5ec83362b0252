"""What ansible-core makes of inventories: run by the interpreter that has it.

    answer.py FILE    FILE holds {"cases": [{"sources": […], "render": bool}, …]}; the answers go to stdout

An answer is {"groups": {group: hosts}, "hosts": {host: {name: value}}, "rendered": {…}} or {"refused": why}.
A value that cannot be rendered is {"__error__": why}.
"""

import json
import os
import signal
import sys
import warnings

warnings.simplefilter("ignore")
os.environ["ANSIBLE_DEPRECATION_WARNINGS"] = "0"

from ansible import constants  # noqa: E402
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible._internal._json._profiles import _inventory_legacy  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.parsing.vault import VaultSecret, VaultSecretsContext  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar  # noqa: E402
from ansible.utils.display import Display  # noqa: E402
from ansible.utils.vars import transform_to_native_types  # noqa: E402
from ansible.vars.hostvars import HostVars  # noqa: E402
from ansible.vars.manager import VariableManager  # noqa: E402

WARNED = []
SECRETS = [("default", VaultSecret(b"pw"))]

# Seconds for one inventory.
PATIENCE = 10


def warning(self, msg, *_, **__):
    WARNED.append(str(msg))


Display.warning = warning
Display.deprecated = lambda *_, **__: None
Display.display = lambda *_, **__: None


def too_long(*_):
    raise TimeoutError


def plain(value):
    return json.loads(json.dumps(value, cls=_inventory_legacy.Encoder))


def answer(case):
    WARNED.clear()
    loader = DataLoader()
    loader.set_vault_secrets(SECRETS)
    inventory = InventoryManager(loader=loader, sources=case["sources"])
    if any("Unable to parse" in said for said in WARNED):
        return {"refused": "unable to parse"}
    manager = VariableManager(loader=loader, inventory=inventory)
    found = {"groups": inventory.get_groups_dict(), "hosts": {}, "rendered": {}}
    for host in inventory.get_hosts():
        variables = manager.get_vars(host=host, include_hostvars=False)
        shown = {name: value for name, value in variables.items() if name not in constants.INTERNAL_STATIC_VARS}
        found["hosts"][host.name] = plain(shown)
        if case["render"]:
            variables["hostvars"] = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
            templar = Templar(loader=loader, variables=variables)
            rendered = found["rendered"][host.name] = {}
            for name in shown:
                try:
                    value = templar.template(variables[name])
                    rendered[name] = plain(transform_to_native_types(value, redact=False))
                except Exception as error:  # noqa: BLE001, whatever it is, Ansible refuses
                    rendered[name] = {"__error__": type(error).__name__}
    return found


def main():
    init_plugin_loader([])
    VaultSecretsContext.initialize(VaultSecretsContext(SECRETS))
    answers = []
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    signal.signal(signal.SIGALRM, too_long)
    for case in cases:
        # Ansible does not come back from every inventory.
        signal.alarm(PATIENCE)
        try:
            answers.append(answer(case))
        except Exception as error:  # noqa: BLE001
            answers.append({"refused": type(error).__name__})
        signal.alarm(0)
    json.dump(answers, sys.stdout)


main()
