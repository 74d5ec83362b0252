"""A bucket on SeaweedFS: filled, read back by a node that knows nothing, and lost in all ways."""

import shutil
import signal
import sys

from support import image
from support.lab import Lab, free_port, request
from support.old import fill, filled, old_mirror
from support.s3 import CREDENTIALS, REGION, SeaweedFS, BUCKET, key_of
from support.servers import Mirror, Upstream


class Pulls:
    """Images pulled by skopeo, each of a repository of its own."""

    def __init__(self, lab, upstream, mirror):
        self.lab, self.upstream, self.mirror = lab, upstream, mirror
        self.blobs = {}

    def push(self, name):
        layer = image.tiny(name, self.lab.dir)
        descriptor = self.upstream.push.image(f"library/{name}", "1", layer, image.OCI)
        body = request(f"{self.upstream.url}/v2/library/{name}/manifests/1", headers=image.ACCEPT).body
        config = image.json.loads(body)["config"]["digest"]
        self.blobs[name] = [descriptor["digest"], config, layer.digest]

    def pull(self, name):
        target = self.lab.dir / f"pulled-{name}"
        shutil.rmtree(target, ignore_errors=True)
        done = self.lab.run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
                             f"docker://{self.mirror.host}/library/{name}:1", f"dir:{target}"], fatal=False)
        return done is not None

    def gets(self, name):
        return self.upstream.pulls(f"/library/{name}/")


def redirected(lab, upstream, bucket, mirror, pulls):
    """The same with `blob_redirect`: the bytes come from the bucket itself, to a real client."""
    mirror.process.stop()
    mirror.forget()
    mirror.variables["blob_redirect"] = True
    trials = lambda: mirror.process.text().count("the store can be written to")
    before = trials()
    mirror.start()
    lab.wait("the bucket to be tried", lambda: trials() > before)

    def ask(name, blob):
        return request(f"{mirror.url}/v2/library/{name}/blobs/{blob}")

    # What came to the bucket within two minutes is sent from here.
    for name in ["e2e-warm", "e2e-after"]:
        for blob in pulls.blobs[name][1:]:
            lab.wait(f"an address of {name}", lambda: ask(name, blob).status == 307, seconds=180)
    blob = pulls.blobs["e2e-warm"][2]
    address = f"{mirror.url}/v2/library/e2e-warm/blobs/{blob}"
    answer = request(address)
    location = answer.headers.get("location", "")
    lab.check("a blob that the bucket has is a redirect to it",
              answer.status == 307 and location.startswith(bucket.url), f"{answer.status} {location.split('?')[0]}")
    lab.check("the client gets its bytes there", image.digest(request(location).body) == blob)
    spoilt = request(location.replace("X-Amz-Signature=", "X-Amz-Signature=0"))
    lab.check("and not with another signature", spoilt.status == 403, str(spoilt.status))
    lab.check("a HEAD is answered here", request(address, "HEAD").status == 200)
    sent = mirror.metric("served_bytes_total")
    lab.check("a client pulls the image so", pulls.pull("e2e-after"))
    moved = mirror.metric("served_bytes_total") - sent
    manifest = len(request(f"{mirror.url}/v2/library/e2e-after/manifests/1", headers=image.ACCEPT).body)
    lab.check("of which only the manifest comes from here", moved == manifest, f"{moved:.0f} of {manifest} bytes")
    lab.check("no signature is in the log", "Signature" not in mirror.process.text())


def adopted(lab, upstream, bucket, pulls):
    """A bucket that docker-registry itself filled as a mirror, and a node that finds it."""
    for name in ["e2e-adopted", "e2e-damaged"]:
        pulls.push(name)
        old = old_mirror(lab, bucket, f"docker-registry-{name}", {"remoteurl": upstream.url})
        fill(lab, bucket, old, f"library/{name}", pulls.blobs[name])
    damaged = pulls.blobs["e2e-damaged"][2]
    length = len(bucket.s3.get(key_of(damaged)).body)
    lab.check("a blob of it is damaged", bucket.s3.call("PUT", key_of(damaged), body=b"!" * length).status == 200)

    mirror = Mirror(lab, upstream, name="adopting", env=CREDENTIALS, store="s3", bucket_name=BUCKET,
                    bucket_location=REGION, bucket_endpoint=bucket.url).start()
    pulls.mirror, before = mirror, len(pulls.gets("e2e-adopted"))
    lab.check("an image that docker-registry left in the bucket is pulled", pulls.pull("e2e-adopted"))
    gets = pulls.gets("e2e-adopted")[before:]
    lab.check("without a GET upstream", not gets, str(gets or ""))
    whole = request(f"{mirror.url}/v2/library/e2e-damaged/blobs/{damaged}").body
    lab.check("a damaged blob is never had whole", image.digest(whole) == damaged or len(whole) < length, str(len(whole)))
    lab.check("its image is pulled at once after that", pulls.pull("e2e-damaged"))
    lab.wait("the damaged blob to be replaced", lambda: image.digest(bucket.s3.get(key_of(damaged)).body) == damaged)
    lab.check("and the blob is replaced", True)


def handed_back(lab, upstream, bucket, mirror, pulls):
    """What only this mirror cached is served by docker-registry, with no upstream at all."""
    pulls.push("e2e-back")
    pulls.mirror = mirror
    lab.check("an image is cached by this mirror alone", pulls.pull("e2e-back"))
    lab.wait("the bucket to be filled", lambda: filled(bucket, pulls.blobs["e2e-back"]))
    told = mirror.asked("cache", "verify")
    lab.check("every object is right and under the encryption of today", told is not None)
    told = mirror.asked("cache", "links", "--json")
    lab.check("the way back is written down", told is not None and '"fine":true' in told, told or "")
    port = free_port()
    config = lab.dir / "back.yml"
    text = mirror.asked("render", "--format", "distribution") or ""
    lab.check("the configuration for it says what must be done first", "cache links" in text)
    config.write_text(text)
    old = lab.start("docker-registry-back", ["docker-registry", "serve", config], {
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_STORAGE_S3_ACCESSKEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "REGISTRY_STORAGE_S3_SECRETKEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"]})
    lab.wait("docker-registry", lambda: request(f"http://127.0.0.1:{port}/v2/").status == 200, process=old)
    upstream.process.stop()
    target = lab.dir / "handed-back"
    done = lab.run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
                    f"docker://127.0.0.1:{port}/library/e2e-back:1", f"dir:{target}"], fatal=False)
    lab.check("docker-registry serves it with its upstream stopped", done is not None)
    upstream.start()


def main():
    with Lab("s3") as lab:
        upstream, bucket = Upstream(lab).start(), SeaweedFS(lab).start()
        mirror = Mirror(lab, upstream, env=CREDENTIALS, store="s3", bucket_name=BUCKET,
                        bucket_location=REGION, bucket_endpoint=bucket.url).start()
        pulls = Pulls(lab, upstream, mirror)
        for name in ["e2e-warm", "e2e-killed", "e2e-hanging", "e2e-after"]:
            pulls.push(name)

        # The suites that every store must pass, in a bucket of their own.
        suites = lab.run(["cargo", "test", "--quiet", "--test", "it", "--", "store_s3::real", "--ignored"],
                         {"REGISTRY_MIRROR_TEST_S3": f"{bucket.url},e2e-conformance"}, 1800, fatal=False)
        lab.check("the conformance suites hold on a real server", suites is not None)

        lab.check("an image is pulled through a mirror with a bucket", pulls.pull("e2e-warm"))
        lab.wait("the bucket to be filled", lambda: filled(bucket, pulls.blobs["e2e-warm"]))
        lab.check("its objects are where registry:2 puts them", True)
        for blob in pulls.blobs["e2e-warm"]:
            head, body = bucket.s3.head(key_of(blob)), bucket.s3.get(key_of(blob)).body
            lab.check(f"{blob[:19]} is whole and encrypted",
                      image.digest(body) == blob and head.headers.get("x-amz-server-side-encryption"),
                      head.headers.get("x-amz-server-side-encryption", "not encrypted"))

        mirror.process.stop()
        mirror.forget()
        upstream.process.stop()
        mirror.start()
        lab.check("a node that knows nothing serves it from the bucket while the upstream is away",
                  pulls.pull("e2e-warm"))
        upstream.start()

        bucket.process.kill()
        lab.check("S3 killed: what is near is pulled", pulls.pull("e2e-warm"))
        lab.check("S3 killed: what is not is pulled, too", pulls.pull("e2e-killed"))
        bucket.start()
        bucket.process.signal(signal.SIGSTOP)
        lab.check("S3 hanging: what is near is pulled", pulls.pull("e2e-warm"))
        lab.check("S3 hanging: what is not is pulled, too", pulls.pull("e2e-hanging"))
        bucket.process.signal(signal.SIGCONT)
        lab.check("S3 back: a pull goes on as before", pulls.pull("e2e-after"))

        for name in ["e2e-killed", "e2e-hanging", "e2e-after"]:
            before = len(pulls.gets(name))
            lab.wait(f"the bucket to be filled with {name}", lambda: filled(bucket, pulls.blobs[name]), 300)
            lab.check(f"S3 back: the bucket is filled with {name} without another GET upstream",
                      len(pulls.gets(name)) == before, f"{before} GETs")

        begun = len(upstream.pulls())
        mirror.process.stop()
        mirror.forget()
        mirror.start()
        for name in ["e2e-killed", "e2e-hanging", "e2e-after"]:
            lab.check(f"{name} is served from the bucket alone", pulls.pull(name))
        again = upstream.pulls()[begun:]
        lab.check("without a GET upstream", not again, str(again or ""))
        redirected(lab, upstream, bucket, mirror, pulls)
        handed_back(lab, upstream, bucket, mirror, pulls)
        adopted(lab, upstream, bucket, pulls)


if __name__ == "__main__":
    sys.exit(main())
