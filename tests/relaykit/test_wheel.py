"""The wheel is whole: installed into a fresh environment it works beside a user's own `schemas` package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")  # it is built and installed once

ROOT = Path(__file__).parents[2]
PACKAGES = {"schemas", "conformance", "reference_server", "docs_gen"}
USER, DEVICE = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "550e8400-e29b-41d4-a716-446655440000"


def _run(*command: str | Path, cwd: Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RELAYKIT"))
    }
    environment["RELAYKIT_SECRET"] = "a-secret-of-the-wheel-test-0123456789"
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert not ok or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves folders in the tree it builds.
    _run("git", "clone", "--quiet", ROOT, folder / "tree", cwd=folder)
    changed = _run("git", "ls-files", "--modified", "--others", "--exclude-standard", cwd=ROOT).stdout.split(
        "\n"
    )
    for name in filter(None, changed):
        source, copy = ROOT / name, folder / "tree" / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder / "tree", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The programs of a fresh environment, and a folder that holds packages of the same names."""
    folder = tmp_path_factory.mktemp("project")
    venv.create(folder / "env", with_pip=True)
    bin_ = folder / "env" / "bin"
    _run(bin_ / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    for name in PACKAGES:
        (folder / "work" / name).mkdir(parents=True)
        (folder / "work" / name / "__init__.py").write_text(
            "raise RuntimeError('the wrong package was imported')\n"
        )
    return bin_, folder / "work"


def test_every_data_file_is_in_the_wheel(wheel: Path) -> None:
    tracked = _run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, "relaykit", cwd=ROOT
    )
    expected = {
        name if name.startswith("relaykit/") else f"relaykit/{name}" for name in tracked.stdout.split()
    }
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected - held == set()


def test_the_listed_packages_are_the_packages() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    folders = {"relaykit", *PACKAGES}
    found = {
        str(path.parent.relative_to(ROOT)) for name in folders for path in (ROOT / name).rglob("__init__.py")
    }
    assert set(listed.values()) == found


def test_validate_serve_and_test_work_beside_packages_of_the_same_names(installed: tuple[Path, Path]) -> None:
    bin_, work = installed
    (work / "frame.json").write_text(json.dumps({"type": "heartbeat"}))
    _run(bin_ / "relaykit", "validate", "frame.json", cwd=work)

    server = subprocess.Popen(
        [bin_ / "relaykit", "serve", "--port", "0", "--store", ":memory:", "--secret-file", "key"],
        cwd=(_with_key(work)),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = next(word for line in server.stdout for word in line.split() if word.startswith("ws://"))
        report = work / "report.json"
        command = (
            "test",
            "--url",
            url,
            "--secret-file",
            "key",
            "--run",
            "message-life",
            "--report",
            f"json={report}",
        )
        _run(bin_ / "relaykit", *command, cwd=work)
        assert json.loads(report.read_text())["summary"]["pass"] >= 1
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0


def _with_key(work: Path) -> Path:
    (work / "key").write_text("a-secret-of-the-wheel-test-0123456789")
    return work


def test_pytest_runs_in_a_project_with_packages_of_the_same_names(installed: tuple[Path, Path]) -> None:
    bin_, work = installed
    for name in PACKAGES:
        (work / name / "__init__.py").write_text("MINE = True\n")
    (work / "test_mine.py").write_text(
        "import schemas, conformance\n"
        "from relaykit.schemas import load_catalogue\n"
        "def test_both():\n"
        "    assert schemas.MINE and conformance.MINE\n"
        "    assert load_catalogue().validate({'type': 'heartbeat'}, 'c2s').valid\n"
    )
    done = _run(bin_ / "python", "-m", "pytest", "-q", cwd=work)
    assert "1 passed" in done.stdout
