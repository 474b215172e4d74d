"""The cases of the suite as test items: `-p relaykit.conformance.pytest_plugin --relay-target target.yaml`.

Every option of `relaykit test` exists as `--relay-…`. The cases that pytest has selected run side by side in
the background, as `relaykit test` would run them; each item waits for its own and tells how it ended: `fail`
and `error` fail, an expected failure is an xfail, and what does not apply or cannot be judged is skipped with
its reason. Items at the end stand for what only all cases together show: shapes, what a dialect changed, and
stale expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest

from relaykit.conformance import options
from relaykit.conformance.pytest_suite import NoTargetError, Suite
from relaykit.conformance.reports.text import place
from relaykit.conformance.results import Case, CaseResult, Verdict
from relaykit.errors import RelaykitError

T = TypeVar("T")
_KEY = pytest.StashKey["Suite | None"]()
_SKIPPED = (Verdict.NOT_APPLICABLE, Verdict.UNTESTABLE)


@click.command(add_help_option=False)
@options.target
@options.selection
@options.running
@options.reports
def _command(given: Any, selection: Any, running: Any, wanted: Any) -> Suite:
    """The options of `relaykit test`; the one place that knows what they are called and mean."""
    return Suite(given, selection, running, wanted)


def _long(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


def _options() -> Iterator[click.Option]:
    yield from (option for option in _command.params if isinstance(option, click.Option))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("relaykit", "cases of relaykit, the conformance suite")
    for option in _options():
        name = f"--relay-{_long(option)[2:]}"
        settings: dict[str, Any] = {"help": (option.help or "").replace("%", "%%"), "dest": _dest(option)}
        if option.is_flag:
            settings["action"] = "store_true"
        elif option.multiple:
            settings |= {"action": "append", "default": [], "metavar": option.metavar}
        else:
            settings["metavar"] = option.metavar or option.type.name.upper()
        group.addoption(name, **settings)


def _dest(option: click.Option) -> str:
    return f"relay_{_long(option)[2:].replace('-', '_')}"


def _words(config: pytest.Config) -> list[str]:
    """The options that were given, as `relaykit test` has them."""
    words: list[str] = []
    for option in _options():
        value = config.getoption(_dest(option))
        if option.is_flag:
            words += [_long(option)] if value else []
        else:
            values: Iterable[str] = value if option.multiple else [value] if value is not None else []
            words += [word for each in values for word in (_long(option), str(each))]
    return words


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "relay: a case of relaykit's conformance suite")
    words = _words(config)
    config.stash[_KEY] = None
    if not words:
        return
    if not any(config.getoption(f"relay_{name}") for name in ("target", "url", "launch")):
        raise pytest.UsageError(
            "which server? give --relay-target FILE, --relay-url URL or --relay-launch CMD"
        )
    spread = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if spread and config.getoption("dist", "no") != "loadgroup":
        raise pytest.UsageError(
            "the cases of relaykit run side by side by themselves, in one process: "
            "leave out -n, or give --dist loadgroup as well"
        )
    try:
        suite = _command.main(words, prog_name="relaykit", standalone_mode=False)
    except click.ClickException as error:
        said = error.format_message()
        raise pytest.UsageError(said.replace("'--", "'--relay-").replace(" --", " --relay-")) from None
    except RelaykitError as error:
        raise pytest.UsageError("\n".join(filter(None, (str(error), error.hint)))) from None
    config.stash[_KEY] = suite


def _suite(config: pytest.Config) -> Suite | None:
    return config.stash.get(_KEY, None)


class Failed(Exception):
    """A case did not pass; the text is all that is to be shown."""


def _asked(ask: Callable[..., T], *arguments: Any) -> T:
    """An answer of the suite. That there is no target fails once; what cannot be judged for it is skipped."""
    try:
        return ask(*arguments)
    except NoTargetError as error:
        if error.again:
            pytest.skip("there is no target to judge")
        raise Failed(str(error)) from None


class CaseItem(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, suite: Suite, **more: Any) -> None:
        super().__init__(**more)
        self.case = case
        self.suite = suite
        self.extra_keyword_matches.update((case.area, case.kind, *case.requirements))
        self.user_properties.append(("requirements", " ".join(case.requirements)))

    def runtest(self) -> None:
        result = _asked(self.suite.result, self.case)
        self.user_properties.append(("verdict", result.verdict.value))
        _tell(self, [result])

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        return (
            str(excinfo.value) if isinstance(excinfo.value, Failed) else super().repr_failure(excinfo, style)
        )

    def reportinfo(self) -> tuple[Path, int | None, str]:
        path, line = place(self.case.source)
        return Path(path), line - 1 if line else None, f"{self.case.area}: {self.case.title}"


class GatheredItem(pytest.Item):
    """What only all cases together show. `kind` is `shape`, `dialect`, or `stale` for expectations."""

    def __init__(self, *, kind: str, suite: Suite, **more: Any) -> None:
        super().__init__(**more)
        self.kind = kind
        self.suite = suite

    def runtest(self) -> None:
        run = _asked(self.suite.concluded)
        if self.kind == "stale":
            if run.stale:
                raise Failed("\n".join(run.stale))
            return
        _tell(self, [result for result in run.cases if result.case.kind == self.kind])

    repr_failure = CaseItem.repr_failure

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"relaykit: {self.name}"


def _tell(item: Any, results: Sequence[CaseResult]) -> None:
    """End a test as these results say."""
    suite: Suite = item.suite
    bad = [each for each in results if suite.fails(each)]
    if bad:
        raise Failed("\n".join(suite.text(each) for each in bad))
    warned = [each for each in results if each.verdict is Verdict.WARN]
    if warned:
        item.add_report_section("call", "relaykit: warnings", "\n".join(suite.text(each) for each in warned))
    expected = [reason for each in results if (reason := suite.expected(each)) is not None]
    if expected:
        pytest.xfail("; ".join(dict.fromkeys(expected)))
    skipped = [each for each in results if each.verdict in _SKIPPED]
    if skipped and len(skipped) == len(results):
        pytest.skip(f"{skipped[0].verdict.value}: {suite.clean(skipped[0].reason)}")


def _items(parent: Any, suite: Suite) -> Iterator[pytest.Item]:
    for case in suite.cases:
        yield CaseItem.from_parent(parent, name=case.id, case=case, suite=suite)
    last = {
        "shapes": "shape",
        **({"dialect": "dialect"} if suite.target.dialect is not None else {}),
        **({"expectations": "stale"} if suite.target.expected else {}),
    }
    for name, kind in last.items():
        yield GatheredItem.from_parent(parent, name=name, kind=kind, suite=suite)


class TargetFile(pytest.File):
    """A target file with its cases, so that `target.yaml::message-life` names one."""

    def collect(self) -> Iterable[pytest.Item]:
        suite = _suite(self.config)
        return _items(self, suite) if suite is not None else ()


class Cases(pytest.Collector):
    """The cases of a target that was given without a file."""

    def collect(self) -> Iterable[pytest.Item]:
        suite = _suite(self.config)
        return _items(self, suite) if suite is not None else ()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    suite = _suite(parent.config)
    if suite is None or suite.file is None or file_path != suite.file:
        return None
    return TargetFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the cases to whatever else was collected; before -k and -m choose among all."""
    suite = _suite(config)
    if suite is None:
        return
    own = (CaseItem, GatheredItem)
    if not any(isinstance(item, own) for item in items):
        if suite.file is not None:
            parent: Any = TargetFile.from_parent(session, path=suite.file)
        else:
            parent = Cases.from_parent(session, name="relaykit", nodeid="relaykit")
        items.extend(_items(parent, suite))
    for item in items:
        if isinstance(item, own):
            item.add_marker(pytest.mark.relay)
            if config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group("relaykit"))


def pytest_collection_finish(session: pytest.Session) -> None:
    suite = _suite(session.config)
    if suite is not None:
        suite.chosen = tuple(item.case for item in session.items if isinstance(item, CaseItem))


def pytest_sessionfinish(session: pytest.Session) -> None:
    suite = _suite(session.config)
    if suite is not None:
        suite.end()


def pytest_report_header(config: pytest.Config) -> str | None:
    suite = _suite(config)
    return None if suite is None else f"relaykit: {suite.target.name}, seed {suite.settings.seed}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    suite = _suite(config)
    lines = [] if suite is None else suite.summary()
    if lines:
        terminalreporter.section("relaykit")
        for line in lines:
            terminalreporter.write_line(line)
