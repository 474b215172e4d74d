"""The GitHub Action and the pre-commit hook, as far as a machine without those services can try them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SERVE = f"{sys.executable} -c 'from relaykit.cli import main; main()' serve --port {{port}}"
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


def script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def command_of_the_checkout(folder: Path) -> Path:
    """A folder with the command `relaykit`, as the installing step would leave it."""
    bin_ = folder / "bin"
    bin_.mkdir()
    script(bin_ / "relaykit", f"exec {sys.executable} -c 'from relaykit.cli import main; main()' \"$@\"")
    return bin_


class Job:
    """Runs the action's own steps as a runner would, with these inputs."""

    def __init__(self, folder: Path, **inputs: str) -> None:
        self.folder = folder
        self.inputs = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()}
        assert set(inputs) <= {name.replace("-", "_") for name in self.inputs}
        self.inputs |= {name.replace("_", "-"): value for name, value in inputs.items()}
        self.bin = command_of_the_checkout(folder)
        self.output, self.summary = folder / "output", folder / "summary.md"
        self.output.touch()
        self.summary.touch()

    def value(self, text: str) -> str:
        def one(found: re.Match[str]) -> str:
            if found[1] == "steps.install.outputs.python":
                return sys.executable
            return self.inputs[found[1].removeprefix("inputs.")]

        return _EXPRESSION.sub(one, text)

    def applies(self, condition: str) -> bool:
        """Conditions of this action: comparisons of inputs with nothing, joined by || and &&."""
        text = condition.replace("always()", "True").replace("||", " or ").replace("&&", " and ")
        text = re.sub(r"inputs\.([a-z-]+)", lambda found: repr(self.inputs[found[1]]), text)
        return bool(eval(text, {"__builtins__": {}}))  # noqa: S307 - our own file

    def run(self) -> tuple[int, str]:
        """The exit code of the first step that fails, or 0; and what all of them wrote."""
        said = ""
        for step in STEPS:
            if "run" not in step or step["name"] == "Install relaykit":
                continue
            if not self.applies(step.get("if", "True")):
                continue
            env = {name: self.value(value) for name, value in step.get("env", {}).items()}
            kept = {key: value for key, value in os.environ.items() if not key.startswith("RELAYKIT_")}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # as GitHub runs it
                cwd=self.folder,
                env={
                    **kept,
                    **env,
                    "PATH": f"{self.bin}:{os.environ['PATH']}",
                    "GITHUB_OUTPUT": str(self.output),
                    "GITHUB_STEP_SUMMARY": str(self.summary),
                    "RELAYKIT_SECRET": "a secret of the job, long enough for it",
                },
                capture_output=True,
                text=True,
                timeout=100,
            )
            said += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, said
        return 0, said

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


def test_the_action_is_a_composite_one_whose_expressions_name_what_exists() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all("description" in spec for spec in (*ACTION["inputs"].values(), *ACTION["outputs"].values()))
    ids = {step["id"] for step in STEPS if "id" in step}
    for step in STEPS:
        # A composite action must say the shell; and no input is ever part of a script.
        assert ("run" in step) != ("uses" in step)
        assert "run" not in step or step["shell"] == "bash"
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v[0-9]+", step["uses"])
    text = (ROOT / "action.yml").read_text()
    for name in re.findall(r"inputs\.([a-z-]+)", text):
        assert name in ACTION["inputs"], name
    for step_id, output in re.findall(r"steps\.([a-z]+)\.outputs\.([a-z-]+)", text):
        assert step_id in ids
        # Our own steps write theirs; that of setup-python has this one.
        assert f"{output}=" in text or (step_id, output) == ("python", "python-path")


def test_a_server_that_is_launched_is_judged(tmp_path: Path) -> None:
    job = Job(tmp_path, launch=SERVE, run="message-life\nheartbeat-*\n", capabilities="media_keys\n")
    code, said = job.run()
    assert code == 0, said
    found = job.outputs()
    assert found["exit-code"] == "0"
    assert "pass" in found["outcome"]
    assert found["conformant-to"] == ""  # three cases let nobody claim anything
    assert "message-life" in said or "pass" in said
    assert job.summary.read_text().startswith("#")
    folder = tmp_path / "relaykit-report"
    names = {"report.html", "report.json", "report.xml", "report.sarif", "report.md", "badge.svg"}
    assert {path.name for path in folder.iterdir()} == names
    data = json.loads((folder / "report.json").read_text())
    assert data["target"]["capabilities"] == ["core", "media_keys"]


def test_what_fails_fails_the_job_and_is_in_its_summary(tmp_path: Path) -> None:
    serve = f"{SERVE} --fault drop@deliver"
    job = Job(tmp_path, launch=serve, run="message-life", arguments="--timeout-factor\n0.3\n")
    code, said = job.run()
    assert code == 1, said
    assert job.outputs()["exit-code"] == "1"
    assert "1 fail" in job.outputs()["outcome"]
    assert "message-life" in job.summary.read_text()


def test_what_stands_in_an_input_is_never_run(tmp_path: Path) -> None:
    evil = '$(touch evil); `touch evil`; "; touch evil #'
    job = Job(tmp_path, url="ws://127.0.0.1:1/ws", run=evil, skip=evil, arguments=evil, validate=evil)
    code, _ = job.run()
    assert code != 0
    assert not (tmp_path / "evil").exists()


def test_what_an_earlier_run_left_is_not_taken_for_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "relaykit-report"
    folder.mkdir()
    (folder / "report.json").write_text('{"outcome": {"text": "all is well", "profiles": []}}')
    (folder / "report.md").write_text("All is well")
    job = Job(tmp_path, target="nowhere.yaml")
    code, said = job.run()
    assert code == 2, said
    assert job.outputs() == {"exit-code": "2"}
    assert job.summary.read_text() == ""


def test_the_kit_is_installed_apart_from_the_job(tmp_path: Path) -> None:
    """With a Python that only notes what it is asked for."""
    (step,) = (step for step in STEPS if step.get("id") == "install")
    (setup,) = (step for step in STEPS if "setup-python" in step.get("uses", ""))
    assert setup["with"]["update-environment"] is False
    home, fake = tmp_path / "temp dir", tmp_path / "python 3"
    home.mkdir()
    script(
        fake,
        f'echo "$@" >> "{tmp_path}/asked"\n'
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo > "$3/bin/relaykit"; fi',
    )
    outputs, path = tmp_path / "outputs", tmp_path / "path"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={
            **os.environ,
            "RK_PYTHON": str(fake),
            "RUNNER_TEMP": str(home),
            "GITHUB_ACTION_PATH": "/the kit",
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_PATH": str(path),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == f"-m venv {home}/relaykit/venv"
    assert asked[1].endswith(" /the kit")
    assert outputs.read_text() == f"python={home}/relaykit/venv/bin/python\n"
    # The commands of the environment, its Python among them, stay off the path of the job.
    assert [file.name for file in Path(path.read_text().strip()).iterdir()] == ["relaykit"]


def test_no_target_is_told_by_the_code(tmp_path: Path) -> None:
    job = Job(tmp_path, url="ws://127.0.0.1:1/ws")
    code, said = job.run()
    assert code == 3, said
    outputs = job.outputs()
    assert (outputs["exit-code"], outputs["conformant-to"]) == ("3", "")
    assert outputs["outcome"].startswith("not judged: ws://127.0.0.1:1/ws cannot be reached")


def test_frames_are_validated_with_annotations(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('{"type": "heartbeat"}')
    (tmp_path / "bad one.json").write_text('{"type": "heartbeet"}')
    assert Job(tmp_path, validate="good.json\n").run()[0] == 0
    shutil.rmtree(tmp_path / "bin")
    code, said = Job(tmp_path, validate="good.json\nbad one.json\n").run()
    assert code == 1
    assert "::error file=bad one.json" in said


def test_the_hook_checks_what_it_should(tmp_path: Path) -> None:
    """With pre-commit itself, from a repository of its own; but without installing anything anew."""
    pre_commit = shutil.which("pre-commit", path=str(Path(sys.executable).parent)) or shutil.which(
        "pre-commit"
    )
    if pre_commit is None or shutil.which("git") is None:
        pytest.skip("needs pre-commit and git")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["language"] == "python"
    kit, project = tmp_path / "kit", tmp_path / "project"
    kit.mkdir()
    project.mkdir()
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "PATH": f"{command_of_the_checkout(tmp_path)}:{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "protocol.file.allow",
        "GIT_CONFIG_VALUE_0": "always",
    }

    def git(folder: Path, *words: str) -> str:
        name = ("-c", "user.name=t", "-c", "user.email=t@example.test")
        done = subprocess.run(
            ["git", *name, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    (kit / ".pre-commit-hooks.yaml").write_text((ROOT / ".pre-commit-hooks.yaml").read_text())
    git(kit, "init", "-q")
    git(kit, "add", ".")
    git(kit, "commit", "-qm", "hooks")
    rev = git(kit, "rev-parse", "HEAD")
    config = {"repos": [{"repo": str(kit), "rev": rev, "hooks": [{"id": hook["id"], "language": "system"}]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (project / "frames").mkdir()
    (project / "frames" / "one.json").write_text('{"type": "heartbeat"}')
    (project / "package.json").write_text('{"name": "no frame"}')
    git(project, "init", "-q")
    git(project, "add", ".")

    def run() -> subprocess.CompletedProcess[str]:
        words = [pre_commit, "run", "--all-files"]
        return subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, timeout=100)

    good = run()
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Passed" in good.stdout
    (project / "sent.frames.json").write_text('{"type": "heartbeet"}')
    git(project, "add", ".")
    bad = run()
    assert bad.returncode == 1
    assert "sent.frames.json:1" in bad.stdout
    assert "package.json" not in bad.stdout


def test_the_page_about_ci_shows_what_there_is() -> None:
    page = (ROOT / "docs_gen" / "guides" / "ci.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert told == set(ACTION["inputs"])
    for name in ACTION["outputs"]:
        assert f"`{name}`" in page
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert f"id: {hook['id']}" in page
    for block in re.findall(r"```\n(.*?)```", page, re.DOTALL):
        if ":" in block.splitlines()[0] and "import" not in block and not block.startswith("# conftest"):
            yaml.safe_load(block)
