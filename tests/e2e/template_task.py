"""The template task of docs/operations.md, run by ansible-playbook: `validate:` sees the inventory as it
would be, and what is refused never comes into place."""

import os
import re
import subprocess
import sys

from support.lab import ROOT, Lab, from_pypi

PINNED = ["ansible-core==2.19.14"]
GOOD = "all:\n  vars:\n    registry_mirror_docker_hub_username: bot\n" \
       "    registry_mirror_docker_hub_password: \"{{ secret }}\"\n"
BAD = GOOD + "    registry_mirror_listen_port: nope\n"
SECRET = "dckr_pat_Hq81nBvTz6"


def main():
    with Lab("template-task") as lab:
        bin = from_pypi("venv-ansible", PINNED)
        inventory = lab.dir / "inventory"
        inventory.mkdir()
        (inventory / "hosts.yml").write_text("all:\n  vars:\n    prefix: acme\n    aws_region: eu-west-1\n")
        destination = inventory / "sensitive_vars.yml"
        play = lab.dir / "play.yml"
        play.write_text(of_the_docs(destination))

        def task(template, path):
            (lab.dir / "sensitive_vars.yml.j2").write_text(template)
            environment = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}", ANSIBLE_NOCOLOR="1")
            command = [bin / "ansible-playbook", "-i", "localhost,", "-e", f"secret={SECRET}",
                       "-e", f"ansible_python_interpreter={bin / 'python'}", play]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
            return done.returncode, done.stdout + done.stderr

        def check(what, holds, text=""):
            lab.check(what, holds, "" if holds else text[-900:])

        path = lab.dir / "bin"
        path.mkdir()
        (path / "registry-mirror").symlink_to(os.environ["MIRROR_BIN"])
        status, text = task(BAD, path)
        check("a bad file is refused before it is in place", status and not destination.exists(), text)
        shown = ("sensitive_vars.yml:5" in text and "registry_mirror_listen_port" in text
                 and not re.search(r"\.ansible_tmp|/tmp/|source:", text.split("failed to validate")[-1]))
        check("the message names the destination and its line", shown, text)
        check("and no secret", SECRET not in text)
        status, text = task(GOOD, path)
        check("a good one is put there", not status and SECRET in destination.read_text(), text)
        before = destination.read_text()
        status, text = task(BAD, path)
        check("the next bad one leaves it as it is", status and destination.read_text() == before, text)
        check("still no secret", SECRET not in text)
        status, text = task(GOOD, path)
        check("the same once more changes nothing", not status and "changed=0" in text, text)


def of_the_docs(destination):
    """The task as it is printed there, in a play, with its destination moved."""
    page = (ROOT / "docs" / "operations.md").read_text()
    task = re.search(r"```yaml\n(- name: Write the secrets\n.*?)```", page, re.S).group(1)
    task = task.replace("/etc/registry-mirror/inventory/sensitive_vars.yml", str(destination))
    task = task.replace("--overlay", f"-i {destination.parent} --overlay")
    lines = "".join(f"    {line}\n" for line in task.splitlines())
    return f"- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n{lines}"


if __name__ == "__main__":
    sys.exit(main())
