"""A C++ compiler and the headers that edge.hpp wants: found on this machine, or unpacked from Debian's packages.

ONNX Runtime's headers are Debian's `libonnxruntime-dev`, from trixie on. Where they are not installed, `fetch` unpacks
them into a folder, which `$EDGE_CPP` names; the library beside them is the one that comes with the Python package,
whose C interface serves older headers too.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

from edge.text.files import make_folder
from edge_export.targets.registry import DeploymentError

VARIABLE = "EDGE_CPP"
ADVICE = (
    "on Debian: apt install g++ libssl-dev zlib1g-dev nlohmann-json3-dev libonnxruntime-dev (from trixie on; before, "
    f"`python3 dev.py cpp` makes a folder with the headers, to be named in ${VARIABLE})"
)
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")

_RELEASE = "trixie"
_PACKAGES = {
    "onnxruntime_cxx_api.h": "libonnxruntime-dev",
    "nlohmann/json.hpp": "nlohmann-json3-dev",
    "openssl/evp.h": "libssl-dev",
    "zlib.h": "zlib1g-dev",
}
_SYSTEM = Path("/usr/include")
_SOURCES = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")
_MIRROR = re.compile(r"https?://\S+/debian/?(?=\s|$)")
_SECONDS = 300


def build(sources: Path, program: str) -> Path:
    """Compiles a program by `$CXX` and `$CXXFLAGS`; what was compiled so before is taken from `$EDGE_CPP`.

    Args:
        sources: folder of the sources.
        program: name of the one with `main`, without its suffix.

    Returns:
        The executable: below `$EDGE_CPP`, or in `sources`.

    Raises:
        DeploymentError: there is no compiler, or no header, or it does not compile.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise DeploymentError(f"there is no C++ compiler; {ADVICE}")
    include, link, kept = _installation()
    options = ["-std=c++17", "-O2", *WARNINGS, *os.environ.get("CXXFLAGS", "").split(), *include]
    target = sources / program
    if kept is not None:
        state = hashlib.sha256(" ".join([compiler, *options, *link]).encode())
        for source in sorted(sources.glob("*.[ch]pp")):
            state.update(source.read_bytes())
        target = kept / f"{program}-{state.hexdigest()[:16]}"
        if target.is_file():
            return target
    partly = target.with_name(f"{target.name}.{os.getpid()}")
    words = [compiler, *options, str(sources / f"{program}.cpp"), "-o", str(partly), *link]
    try:
        done = subprocess.run(  # noqa: S603 - the machine's compiler
            words, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeploymentError(f"{compiler} cannot compile {program}.cpp: {error}; {ADVICE}") from error
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:])
        raise DeploymentError(f"{compiler} cannot compile {program}.cpp: {reason.strip()}; {ADVICE}")
    return partly.replace(target)


def _installation() -> tuple[list[str], list[str], Path | None]:
    """How to find the headers, how to link, and where programs are kept, if anywhere."""
    named = os.environ.get(VARIABLE)
    if named is None:
        package = shutil.which("pkg-config")
        words = [str(package), "--cflags", "--libs", "libonnxruntime", "libcrypto", "zlib"]
        if package is None or (found := subprocess.run(words, capture_output=True, text=True, check=False)).returncode:  # noqa: S603
            raise DeploymentError(f"the headers of ONNX Runtime are not installed; {ADVICE}")
        flags = [word.replace("-I", "-isystem", 1) if word.startswith("-I") else word for word in found.stdout.split()]
        return [word for word in flags if word.startswith("-i")], [w for w in flags if not w.startswith("-i")], None
    folder = Path(named).resolve()
    if not (folder / "include" / "onnxruntime" / "onnxruntime_cxx_api.h").is_file():
        raise DeploymentError(f"{folder} holds no headers of ONNX Runtime; {ADVICE}")
    include = [folder / "include" / "onnxruntime", folder / "include", *(folder / "include").glob("*-linux-gnu*")]
    libraries = _linked(folder / "lib")
    # By their full names: a machine without the packages for development has no others.
    others = [f"-l:{library}" for library in map(find_library, ("crypto", "z")) if library]
    link = [f"-L{libraries}", "-lonnxruntime", f"-Wl,-rpath,{libraries}", *others]
    return [f"-isystem{path}" for path in include], link, folder


def _linked(folder: Path) -> Path:
    """The folder with the names by which a linker and a loader look for the Python package's library."""
    package = find_spec("onnxruntime")
    found = sorted((Path(str(package.origin)).parent / "capi").glob("libonnxruntime.so.*")) if package else []
    if not found:
        raise DeploymentError(f"the Python package onnxruntime has no library of its own here; {ADVICE}")
    make_folder(folder)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        link = folder / name
        if not link.is_symlink() or link.readlink() != found[-1]:
            link.unlink(missing_ok=True)
            link.symlink_to(found[-1])
    return folder


def fetch(folder: Path) -> None:
    """Unpacks the headers that this machine lacks from Debian's packages, without installing anything.

    Args:
        folder: where they are kept, in `include`.

    Raises:
        DeploymentError: this is no Debian, or apt cannot fetch them.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None or (mirror := _mirror()) is None:
        raise DeploymentError(
            f"only Debian's packages can be unpacked here, and this is {platform.platform()}; {ADVICE}"
        )
    packages = [package for header, package in _PACKAGES.items() if not (_SYSTEM / header).is_file()]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        settings = _settings(place, mirror)
        _call(["apt-get", "-qq", "update"], place, settings)
        _call(["apt-get", "-qq", "download", *packages], place, settings)
        for archive in place.glob("*.deb"):
            _call(["dpkg", "-x", str(archive), "unpacked"], place, settings)
        shutil.copytree(place / "unpacked" / "usr" / "include", folder / "include", dirs_exist_ok=True)


def _mirror() -> str | None:
    """Where apt fetches Debian's packages from on this machine."""
    for pattern in _SOURCES:
        for path in sorted(Path("/etc/apt").glob(pattern)):
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
            if found := _MIRROR.search("\n".join(lines)):
                return found[0]
    return None


def _settings(place: Path, mirror: str) -> dict[str, str]:
    """Settings of apt for a release of its own, in a folder of its own: nothing of the machine's is touched."""
    for name in ("sources", "lists/partial", "cache/archives/partial"):
        make_folder(place / name)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"Types: deb\nURIs: {mirror}\nSuites: {_RELEASE}\nComponents: main\nSigned-By: {keys}\n"
    (place / "sources" / "debian.sources").write_text(source, encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": f"{place}/sources/",
        "Dir::State::Lists": f"{place}/lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": f"{place}/cache",
        "APT::Sandbox::User": "root",
    }
    file = place / "apt.conf"
    file.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()), encoding="utf-8")
    return {**os.environ, "APT_CONFIG": str(file)}


def _call(words: list[str], place: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - Debian's own tools
            words, cwd=place, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeploymentError(f"{words[0]} failed: {error}; {ADVICE}") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise DeploymentError(f"{words[0]} failed: {reason[0]}; {ADVICE}")
