"""The extensions, compiled here, and tests that run on them with sanitizers of addresses and of undefined behaviour."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from support.process import ROOT

# By their names: the package of each, and its sources.
EXTENSIONS = {
    "_codec": ("curveproxy.wire.codec", ("_codec.c", "_frames.c", "_records.c", "../curve/_handshake.c")),
    "_engine": ("curveproxy.proxy.relay", ("_engine.c",)),
}
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{sysconfig.get_path('include')}"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
CODE = """
import importlib, importlib.util, sys, pytest
modules = {{}}
for name, package, path in {extensions!r}:
    spec = importlib.util.spec_from_file_location(f"{{package}}.{{name}}", path)
    modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[spec.name] = module
    setattr(importlib.import_module(package), name, module)
code = pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *{arguments!r}])
from curveproxy.wire.codec import native, select
assert select.CodecState is native.CodecState is modules["_codec"].CodecState, "the tests ran on another module"
from curveproxy.proxy.relay import engine
assert engine.Flow is modules["_engine"].Flow, "the tests ran on another module"
sys.exit(code)
"""


def compiled(name: str, directory: Path, *flags: str) -> Path:
    """One of the extensions."""
    package, sources = EXTENSIONS[name]
    folder, target = ROOT / package.replace(".", "/"), directory / f"{name}.abi3.so"
    subprocess.run(["gcc", *STRICT, *flags, *(str(folder / each) for each in sources), "-o", str(target)], check=True)
    return target


def check(directory: Path, *arguments: str) -> None:
    """Run tests, by arguments of pytest. Raises AssertionError when one fails, or a sanitizer finds something."""
    built = [(name, package, str(compiled(name, directory, *SANITIZERS))) for name, (package, _) in EXTENSIONS.items()]
    runtime = [
        subprocess.check_output(["gcc", f"-print-file-name={name}.so"], text=True).strip()
        for name in ("libasan", "libubsan")
    ]
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(extensions=built, arguments=arguments)],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "LD_PRELOAD": " ".join(runtime),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
