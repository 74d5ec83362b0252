"""Real clients pull through the mirror, twice; the second pull does not touch the upstream."""

import os
import shutil
import sys

from support import image
from support.lab import Failed, Lab
from support.servers import Mirror, Upstream

TOOLS = ["dockerd", "docker", "containerd", "ctr", "podman", "buildah", "skopeo", "docker-registry",
         "debootstrap"]


class Dockerd:
    name = "dockerd"

    def __init__(self, lab, mirror):
        self.lab, self.socket = lab, lab.short / "d.sock"
        data, config = lab.dir / "dockerd", lab.dir / "daemon.json"
        config.write_text(mirror.told("docker"))
        process = lab.start("dockerd", [
            "dockerd", "--config-file", config, "--data-root", data, "--exec-root", lab.short / "x",
            "-H", f"unix://{self.socket}", "--pidfile", lab.short / "d.pid", "--iptables=false",
            "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"])
        lab.wait("dockerd", lambda: self.docker("version", fatal=False), process=process)

    def docker(self, *words, fatal=True):
        env = {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.lab.short)}
        return self.lab.run(["docker", *words], env, fatal=fatal)

    def pull(self, name, tag):
        self.docker("pull", f"{name}:{tag}")

    def forget(self):
        self.docker("system", "prune", "--all", "--force")
        return not self.docker("images", "--quiet").strip()

    def runs(self, name, tag):
        return self.docker("run", "--rm", "--network=none", f"{name}:{tag}", "cat",
                           "/etc/debian_version").startswith("12")


class Containerd:
    name = "containerd"

    def __init__(self, lab, mirror):
        self.lab, self.socket = lab, lab.short / "c.sock"
        self.hosts = lab.dir / "hosts"
        (self.hosts / "docker.io").mkdir(parents=True)
        (self.hosts / "docker.io" / "hosts.toml").write_text(mirror.told("containerd"))
        config = lab.dir / "containerd.toml"
        config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        process = lab.start("containerd", [
            "containerd", "--config", config, "--root", lab.dir / "containerd",
            "--state", lab.short / "cs", "--address", self.socket])
        lab.wait("containerd", lambda: self.ctr("version", fatal=False), process=process)

    def ctr(self, *words, fatal=True):
        return self.lab.run(["ctr", "--address", self.socket, *words], fatal=fatal)

    def pull(self, name, tag):
        self.ctr("images", "pull", "--snapshotter", "native", "--hosts-dir", self.hosts,
                 f"docker.io/library/{name}:{tag}")

    def forget(self):
        names = self.ctr("images", "ls", "-q").split()
        if names:
            self.ctr("images", "rm", "--sync", *names)
        return not self.ctr("content", "ls", "-q").strip()


class Containers:
    """What podman, buildah and skopeo have in common: registries.conf."""

    def __init__(self, lab, mirror):
        self.lab = lab
        self.conf = lab.dir / "registries.conf"
        self.conf.write_text(mirror.told("podman"))
        nobody = lab.dir / "auth.json"
        nobody.write_text("{}")
        self.env = {"CONTAINERS_REGISTRIES_CONF": str(self.conf), "REGISTRY_AUTH_FILE": str(nobody)}

    def storage(self):
        return ["--root", self.lab.dir / self.name, "--runroot", self.lab.short / self.name,
                "--storage-driver", "vfs"]


class Podman(Containers):
    name = "podman"

    def podman(self, *words):
        return self.lab.run(["podman", *self.storage(), *words], self.env)

    def pull(self, name, tag):
        self.podman("pull", f"docker.io/library/{name}:{tag}")

    def forget(self):
        self.podman("rmi", "--all", "--force")
        return not self.podman("images", "--quiet").strip()


class Buildah(Containers):
    name = "buildah"

    def buildah(self, *words):
        return self.lab.run(["buildah", *self.storage(), *words], self.env)

    def pull(self, name, tag):
        self.buildah("pull", f"docker.io/library/{name}:{tag}")

    def forget(self):
        self.buildah("rmi", "--all", "--force")
        return not self.buildah("images", "--quiet").strip()


class Skopeo(Containers):
    name = "skopeo"

    def pull(self, name, tag):
        target = self.lab.dir / "skopeo" / name
        target.mkdir(parents=True)
        # It alone of the three does not look at the environment for this.
        self.lab.run(["skopeo", "--registries-conf", self.conf, "--insecure-policy", "copy", "--all",
                      f"docker://docker.io/library/{name}:{tag}", f"dir:{target}"], self.env)

    def forget(self):
        shutil.rmtree(self.lab.dir / "skopeo", ignore_errors=True)
        return True


def prepare(upstream, lab, layer, client):
    """Two images in repositories that no other client pulls and Docker Hub does not have: a client
    that went past the mirror would find nothing."""
    single, multi = f"e2e-{client}", f"e2e-{client}-multi"
    upstream.push.image(f"library/{single}", "bookworm", layer)
    upstream.push.index(f"library/{multi}", "bookworm", layer, lab.dir)
    return [single, multi]


def main():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    with Lab("clients") as lab:
        if missing or os.geteuid():
            raise Failed(f"needs root and {', '.join(missing) or 'nothing else'}; see .ci/run")
        upstream = Upstream(lab).start()
        mirror = Mirror(lab, upstream).start()
        layer = image.debian()
        for kind in [Dockerd, Containerd, Podman, Buildah, Skopeo]:
            names = prepare(upstream, lab, layer, kind.name)
            client = kind(lab, mirror)
            for name in names:
                client.pull(name, "bookworm")
            asked = upstream.pulls(f"/library/e2e-{kind.name}")
            lab.check(f"{kind.name} pulls an image and an index through the mirror",
                      any("/manifests/" in path for path in asked), f"{len(asked)} GETs upstream")
            if hasattr(client, "runs"):
                lab.check(f"{kind.name} runs what it pulled", client.runs(names[0], "bookworm"))
            lab.check(f"{kind.name} has forgotten both", client.forget())
            before = len(upstream.pulls())
            for name in names:
                client.pull(name, "bookworm")
            again = upstream.pulls()[before:]
            lab.check(f"{kind.name} pulls both again without a GET upstream", not again, str(again or ""))
            client.forget()


if __name__ == "__main__":
    sys.exit(main())
