"""The run behind the pytest plugin: the selected cases in the background; items ask for their results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relaykit.conformance import api
from relaykit.conformance.expectations import in_force
from relaykit.conformance.judge import expect_failures
from relaykit.conformance.matching import short
from relaykit.conformance.options import Running, Selection
from relaykit.conformance.pausing import pausing
from relaykit.conformance.reports.claims import claim_text
from relaykit.conformance.reports.formats import write
from relaykit.conformance.reports.text import rerun, scrubbed, sent_text, visible
from relaykit.conformance.results import Case, CaseResult, RunResult, Verdict
from relaykit.conformance.run import Progress
from relaykit.conformance.setup import Given, make_target
from relaykit.errors import RelaykitError
from relaykit.redaction import Redactor
from relaykit.schemas import load_catalogue

_PATIENCE_S = 10.0
_AROUND = 10
"""Lines of a transcript that are shown of a failure."""


class NoTargetError(Exception):
    """There is no target to judge; the message says why, and what to do. `again`: that was said before."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class Suite:
    """One run. It begins when the first result is asked for.

    Attributes:
        file: the target file, if there is one.
        cases: all that the options choose.
        chosen: those of them that pytest runs.

    Raises:
        RelaykitError: the options or the target file are wrong.
    """

    def __init__(
        self, given: Given, selection: Selection, running: Running, wanted: list[tuple[str, Path]]
    ) -> None:
        self.catalogue = load_catalogue()
        every = selection.load(self.catalogue)
        self.cases = selection.choose(self.catalogue, every)
        self.chosen: tuple[Case, ...] = self.cases
        self.file = given.file.resolve() if given.file is not None else None
        self.target, environment = make_target(given, self.catalogue)
        api.check(self.target, self.catalogue, every)
        self.redactor = Redactor(*self.target.secrets)
        self.settings = running.settings(
            selection.rules, self.redactor.add, pausing(self.redactor, nullcontext)
        )
        self._launch = api.Launch(given.command, environment) if given.command is not None else None
        self._fail_on = frozenset(running.fail_on)
        self._wanted = wanted
        self._said = {
            **selection.said(),
            **running.said(),
            "target_file": str(given.file) if given.file else None,
            "url": given.url,
            "launch": scrubbed(given.launch) if given.launch else None,
            "capabilities": list(given.capabilities),
        }
        self._results: dict[str, CaseResult] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._cancel: Any = None
        self._run: RunResult | None = None
        self._problem: BaseException | None = None
        self._told = False
        self._lines: list[str] = []

    # What items ask.

    def result(self, case: Case) -> CaseResult:
        """How a case ended; waits for that.

        Raises:
            NoTargetError: it could not be run.
        """
        self._begin()
        with self._changed:
            self._changed.wait_for(lambda: case.id in self._results or self._over)
        found = self._results.get(case.id)
        if found is None:
            self._give_up()
            return CaseResult(case, Verdict.UNTESTABLE, reason="the run ended before it came to a verdict")
        return found

    def concluded(self) -> RunResult:
        """The whole run; waits for its end.

        Raises:
            NoTargetError: there is none.
        """
        self._begin()
        with self._changed:
            self._changed.wait_for(lambda: self._over)
        if self._run is None:
            self._give_up()
            raise NoTargetError("the run was ended")
        return self._run

    def expected(self, result: CaseResult) -> str | None:
        """Why the target file expects this failure, if it does."""
        live, _ = in_force(self.target.expected, datetime.now(UTC).date())
        (marked,), _ = expect_failures([result], live)
        return marked.expected_failure

    def fails(self, result: CaseResult) -> bool:
        """Whether a test that stands for this result fails."""
        if result.verdict.value in self._fail_on or result.verdict is Verdict.ERROR:
            return True
        return result.verdict is Verdict.FAIL and self.expected(result) is None

    def text(self, result: CaseResult) -> str:
        """A result with its findings and transcript, for people; without any secret."""
        if not result.findings:
            return self.clean(f"{result.verdict.value}: {result.reason}")
        alone = RunResult((result,), (), "", 0.0, self.settings.seed, "", options=self._said)
        data = api.as_report(alone, self.target, redactor=self.redactor, catalogue=self.catalogue)
        rules = {name: known.text for name, known in self.catalogue.requirements.items()}
        return "\n".join(visible(line) for line in _lines(data, data["cases"][0], rules))

    def clean(self, text: str) -> str:
        """A text without secrets, and harmless to a terminal."""
        return visible(self.redactor.text(text))

    # The run.

    @property
    def _over(self) -> bool:
        return self._run is not None or self._problem is not None

    def _give_up(self) -> None:
        if self._problem is None:
            return
        said, hint = str(self._problem), getattr(self._problem, "hint", None)
        if self._told:
            raise NoTargetError(said, again=True)
        self._told = True
        if not isinstance(self._problem, RelaykitError):
            raise self._problem
        raise NoTargetError(self.redactor.text("\n".join(filter(None, (said, hint)))))

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="relaykit", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        run, problem = None, None
        try:
            run = asyncio.run(self._main())
        except BaseException as error:
            problem = error
        with self._changed:
            self._run, self._problem = run, problem
            self._changed.notify_all()

    async def _main(self) -> RunResult:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        watch = Progress(lambda _count, _carrier: None, self._done)
        return await api.judge(
            self.target,
            self.chosen,
            self.settings,
            progress=watch,
            launch=self._launch,
            catalogue=self.catalogue,
        )

    def _done(self, result: CaseResult) -> None:
        with self._changed:
            self._results[result.case.id] = result
            self._changed.notify_all()

    # The end.

    def end(self) -> None:
        """Stop what still runs, and write the reports."""
        if self._thread is None:
            return
        missing = any(case.id not in self._results for case in self.chosen)
        if missing and not self._over and self._cancel is not None:
            self._cancel()
        self._thread.join(_PATIENCE_S)
        if self._run is None:
            return
        self._run.options = self._said
        data = api.as_report(
            self._run,
            self.target,
            fail_on=self._fail_on,
            redactor=self.redactor,
            catalogue=self.catalogue,
        )
        self._lines = [data["outcome"]["text"], claim_text(data), *data["notes"]]
        for kind, path in self._wanted:
            try:
                write(data, kind, path)
                self._lines.append(f"{kind} report: {path}")
            except RelaykitError as error:
                self._lines.append(str(error))

    def summary(self) -> list[str]:
        """What the whole run says, in lines; empty if there was none."""
        return [visible(line) for line in self._lines]


def _lines(data: Mapping[str, Any], case: Mapping[str, Any], rules: Mapping[str, str]) -> Iterator[str]:
    """A case of a report as pytest shows a failure: first the message, for its summary repeats that."""
    for finding in case["findings"]:
        yield finding["message"]
        if finding.get("sent"):
            yield f"    sent      {sent_text(finding['sent'])}"
        if finding["requirement"]:
            name = finding["requirement"]
            yield f"    breaks {name} ({finding['level']}, {finding['provenance']}): {rules[name]}"
        if finding["blame"] in ("kit", "environment"):
            yield f"    to blame: {finding['blame']}"
        if finding["expected"] is not None:
            yield f"    expected  {_short(finding['expected'])}"
        yield f"    actual    {_short(finding['actual'])}"
    last = case["findings"][-1]["t_ms"]
    until = sum(line["t_ms"] <= last for line in case["transcript"]) + 2
    for line in case["transcript"][max(0, until - _AROUND) : until]:
        arrow = "→" if line["direction"] == "c2s" else "←"
        said = line["event"] if line.get("event") else short(line["frame"], 160)
        yield f"{line['t_ms']:>9.1f} ms  {line['actor']:<12} {arrow} {said}"
    yield f"again: {rerun(data, case)}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else "nothing" if value is None else short(value, 400)
