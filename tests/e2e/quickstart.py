"""The README's run command from a clean clone, and an image pulled through it twice."""

import os
import re
import shutil
import sys

from support import image
from support.lab import ROOT, Lab, free_port, request
from support.servers import Upstream


def run_command():
    """The command in the README that runs the mirror, with the program that is built already:
    what is tried is the command, not the compiler."""
    readme = (ROOT / "README.md").read_text()
    arguments = re.search(r"^ *cargo run --release -- (serve .*)$", readme, re.MULTILINE).group(1)
    return [os.environ["MIRROR_BIN"], *arguments.split()]


def main():
    with Lab("quickstart") as lab:
        upstream = Upstream(lab).start()
        descriptor = upstream.push.image("library/e2e-quickstart", "1", image.tiny("quickstart", lab.dir))
        clone = lab.dir / "clone"
        lab.run(["git", "clone", "--quiet", ROOT, clone])
        port, admin = free_port(), free_port()
        log = lab.dir / "quickstart.log"
        process = lab.start("quickstart", [
            "env", "-C", clone, *run_command(),
            "-e", f"registry_mirror_upstream_url={upstream.url}",
            "-e", f"registry_mirror_listen_port={port}",
            "-e", f"registry_mirror_admin_address=127.0.0.1:{admin}"])
        url = f"http://127.0.0.1:{port}"
        lab.wait("the ready line", lambda: f"ready on {url}\n" in log.read_text(), 60, process)
        lab.check("it says where it is ready", True, url)
        hint = f"hint: docker pull 127.0.0.1:{port}/library/alpine\n"
        lab.check("it says how to use it", hint in log.read_text())
        for attempt in ["cold", "again"]:
            before = len(upstream.pulls())
            shutil.rmtree(lab.dir / "pulled", ignore_errors=True)
            lab.run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
                     f"docker://127.0.0.1:{port}/library/e2e-quickstart:1", f"dir:{lab.dir / 'pulled'}"])
            asked = len(upstream.pulls()) - before
            manifest = (lab.dir / "pulled" / "manifest.json").read_bytes()
            lab.check(f"an image is pulled through it, {attempt}", image.digest(manifest) == descriptor["digest"],
                      f"{asked} GETs upstream")
            lab.check(f"{attempt}: the upstream is {'asked' if attempt == 'cold' else 'not asked'}",
                      (asked > 0) == (attempt == "cold"), str(asked))
        kept = [path for path in clone.rglob("*") if path.is_file() and ".git" not in path.parts]
        outside = lab.run(["git", "-C", clone, "status", "--porcelain"])
        lab.check("it leaves nothing in the checkout but what is ignored", not outside.strip(), outside.strip())
        lab.check("it keeps its data in the checkout", any("target" in path.parts for path in kept))
        lab.check("GET /livez answers", request(f"{url}/livez").status == 200)


if __name__ == "__main__":
    sys.exit(main())
