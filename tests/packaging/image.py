"""Reads a container image from an OCI layout, and runs it as a container engine would.

    image.py unpack LAYOUT TAG ROOT      verifies the digests, unpacks the layers, prints the configuration
    image.py run ROOT PROJECT COMMAND…   read-only root, user 12345, with /dev, /proc, a writable /tmp, PROJECT at /work

`run` is called as root of a new mount namespace: `unshare --mount --pid --fork`. The variable IMAGE_CONFIG holds the
configuration; IMAGE_WITHOUT names a directory (`dev` or `proc`) that is not mounted. With `mounts` nothing is mounted:
the project is copied, and the user may write nowhere because root owns all files.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path


def blob(layout: Path, descriptor: dict) -> bytes:
    kind, digest = descriptor["digest"].split(":")
    content = (layout / "blobs" / kind / digest).read_bytes()
    assert len(content) == descriptor["size"], descriptor
    assert hashlib.new(kind, content).hexdigest() == digest, descriptor
    return content


def unpack(layout: Path, tag: str, root: Path) -> None:
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    [descriptor] = (
        manifest
        for manifest in index["manifests"]
        if manifest["annotations"]["org.opencontainers.image.ref.name"] == tag
    )
    manifest = json.loads(blob(layout, descriptor))
    config = json.loads(blob(layout, manifest["config"]))
    digests = []
    for layer in manifest["layers"]:
        archive = gzip.decompress(blob(layout, layer))
        digests.append("sha256:" + hashlib.sha256(archive).hexdigest())
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert all(entry.mtime == 0 and entry.uid == 0 for entry in tar)
            tar.extractall(root)
    assert digests == config["rootfs"]["diff_ids"]
    print(json.dumps(config))


def run(root: Path, project: Path, command: list) -> int:
    mounts = {
        "": ["--bind", root, root],
        "work": ["--bind", project, root / "work"],
        "tmp": ["-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp"],
        "dev": ["--rbind", "/dev", root / "dev"],
        "proc": ["-t", "proc", "proc", root / "proc"],
        "read-only": ["-o", "remount,bind,ro", root],
    }
    without = os.environ.get("IMAGE_WITHOUT")
    mounts.pop(without, None)
    if without == "mounts":
        mounts.clear()
        shutil.rmtree(root / "work")
        shutil.copytree(project, root / "work")
        root.chmod(0o755)
    for mount in mounts.values():
        subprocess.run(["mount", *map(str, mount)], check=True)
    config = json.loads(os.environ["IMAGE_CONFIG"])["config"]
    environment = dict(variable.split("=", 1) for variable in config["Env"])
    os.chroot(root)
    os.chdir(config["WorkingDir"])
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
    arguments = [*config.get("Entrypoint", []), *command]
    os.execvpe(arguments[0], arguments, environment)


if __name__ == "__main__":
    if sys.argv[1] == "unpack":
        unpack(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    else:
        sys.exit(run(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
