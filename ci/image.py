"""Writes a container image of the program as an OCI layout, without a container engine:

    python3 ci/image.py target/release/zrecipe DIRECTORY

The layout has two tags: VERSION holds the program, its libraries and the certificate authorities, nothing else;
VERSION-shell adds the shell of busybox (Debian: busybox-static), which jobs of CI systems need. The same files give the
same digests. `skopeo copy oci:DIRECTORY:VERSION docker://…` publishes an image. Both images run as any user with a
read-only root; `run` needs /dev, /proc and a writable /tmp. busybox is under GPL-2.0: publish its sources beside the image.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUSYBOX = Path("/bin/busybox")
ARCHITECTURES = {62: "amd64", 183: "arm64"}  # by e_machine of the ELF header
EPOCH = "1970-01-01T00:00:00Z"


class Layout:
    """An OCI layout; blobs are named by their digests."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.manifests = directory, []
        (directory / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, content: bytes, kind: str) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (self.directory / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def layer(self, archive: bytes) -> tuple[str, dict]:
        """The digest of an archive, and its compressed blob."""
        compressed = gzip.compress(archive, compresslevel=6, mtime=0)
        return f"sha256:{hashlib.sha256(archive).hexdigest()}", self.blob(compressed, "layer.v1.tar+gzip")

    def image(self, tag: str, architecture: str, layers: list[tuple[str, dict]], config: dict) -> None:
        config = {"architecture": architecture, "os": "linux", "created": EPOCH, "config": config,
                  "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.blob(compact(config), "config.v1+json"),
                    "layers": [blob for _, blob in layers]}
        named = {"annotations": {"org.opencontainers.image.ref.name": tag},
                 "platform": {"architecture": architecture, "os": "linux"}}
        self.manifests.append(self.blob(compact(manifest), "manifest.v1+json") | named)
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                 "manifests": self.manifests}
        (self.directory / "index.json").write_bytes(compact(index))


def compact(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pack(files: dict[str, tuple[int, bytes]], links: dict[str, str], directories: dict[str, int]) -> bytes:
    """An uncompressed archive: files with modes, symbolic links, directories with modes; parents are added."""
    parents = (str(parent) for name in [*files, *links, *directories] for parent in Path(name).parents)
    directories = {name: 0o755 for name in parents if name != "."} | directories
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted([*directories, *files, *links]):
            entry = tarfile.TarInfo(name)  # its owner is root, its time 0
            entry.mode, content = files.get(name, (directories.get(name, 0o777), b""))
            entry.type = tarfile.SYMTYPE if name in links else tarfile.REGTYPE if name in files else tarfile.DIRTYPE
            entry.linkname, entry.size = links.get(name, ""), len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def output(*command: object) -> str:
    return subprocess.check_output(command, text=True)


def main(program: Path, directory: Path) -> None:
    version = output(program, "--version").split()[1]
    architecture = ARCHITECTURES[int.from_bytes(program.read_bytes()[18:20], "little")]
    libraries = re.findall(r"(/\S+) \(0x", output("ldd", program))
    files = {library.lstrip("/"): (0o755, Path(library).read_bytes()) for library in libraries}
    files |= {"usr/bin/zrecipe": (0o755, program.read_bytes()),
              "etc/ssl/certs/ca-certificates.crt": (0o644, CERTIFICATES.read_bytes()),
              "etc/passwd": (0o644, b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n")}
    layout = Layout(directory)
    base = layout.layer(pack(files, {}, {"tmp": 0o1777, "work": 0o755, "dev": 0o755, "proc": 0o755}))
    applets = [name for name in output(BUSYBOX, "--list").split() if name != "busybox"]
    links = {f"bin/{name}": "busybox" for name in applets}
    shell = layout.layer(pack({"bin/busybox": (0o755, BUSYBOX.read_bytes())}, links, {}))
    config = {"User": "65534:65534", "WorkingDir": "/work", "Env": ["PATH=/usr/bin:/bin", "ZRECIPE_STATE=/tmp/zrecipe"]}
    layout.image(version, architecture, [base], config | {"Entrypoint": ["/usr/bin/zrecipe"]})
    layout.image(f"{version}-shell", architecture, [base, shell], config | {"Cmd": ["sh"]})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
