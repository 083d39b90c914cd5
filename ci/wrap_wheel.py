"""Wraps a program that is already built into a wheel, without compiling anything.

    python ci/wrap_wheel.py target/debug/zrecipe DIRECTORY

The metadata are maturin's, so they are those of `maturin build`; the files are laid out as maturin does. Such a wheel
runs where the program runs: it is for rehearsals, not for publication (see `ci/wheel`). Prints the path of the wheel.
Needs maturin in this Python, and `strip`.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(program: Path, directory: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write_metadata = [sys.executable, "-m", "maturin", "pep517", "write-dist-info"]
        subprocess.run(
            [*write_metadata, "--metadata-directory", scratch], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        [info] = Path(scratch).glob("*.dist-info")
        stripped = Path(scratch, "program")
        subprocess.run(["strip", "-o", stripped, program], check=True)

        release = info.name.removesuffix(".dist-info")
        files = {f"{info.name}/{file.relative_to(info).as_posix()}": file for file in info.rglob("*") if file.is_file()}
        sources = (ROOT / "python").rglob("*")
        files |= {
            file.relative_to(ROOT / "python").as_posix(): file
            for file in sources
            if file.is_file() and "__pycache__" not in file.parts
        }
        files[f"{release}.data/scripts/zrecipe"] = stripped

        directory.mkdir(parents=True, exist_ok=True)
        wheel = directory / f"{release}-{tag(info / 'WHEEL')}.whl"
        write(wheel, files, f"{info.name}/RECORD")
    print(wheel)


def tag(metadata: Path) -> str:
    """The platform tag that maturin has chosen."""
    [line] = (line for line in metadata.read_text().splitlines() if line.startswith("Tag: "))
    return line.removeprefix("Tag: ")


def write(wheel: Path, files: dict[str, Path], record: str) -> None:
    """Writes the archive; `record` lists its files with their digests."""
    lines = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, file in sorted(files.items()):
            content = file.read_bytes()
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if ".data/scripts/" in name else 0o100644) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
        archive.writestr(record, "".join(lines) + f"{record},,\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
