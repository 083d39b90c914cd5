"""``pytest --zrecipe PATH``: each recipe and configuration is a test that fails if it has an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable

import pytest

from zrecipe.checking import CheckError, File, check


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("zrecipe")
    group.addoption(
        "--zrecipe",
        action="append",
        default=[],
        nargs="?",
        const=".",
        metavar="PATH",
        help="check the recipes and configurations of PATH, each as a test (repeatable; without PATH: here)",
    )
    group.addoption(
        "--zrecipe-deny",
        action="append",
        default=[],
        metavar="RULE",
        help="make the findings of a rule errors (repeatable): `warnings`",
    )


class RecipeItem(pytest.Item):
    """A file that is checked."""

    def __init__(self, *, file: File, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file = file

    def runtest(self) -> None:
        """Fails if the file has an error."""
        if self.file.errors:
            raise RecipeError(self.file)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Shows the findings."""
        if isinstance(excinfo.value, RecipeError):
            return "\n".join(map(str, excinfo.value.file.findings))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Shows where the file is."""
        path = Path(self.file.path)
        return path, 0, f"zrecipe {self.file.path}"


class RecipeError(Exception):
    """A file has an error."""

    def __init__(self, file: File) -> None:
        super().__init__(file.path)
        self.file = file


class RecipeCollector(pytest.Collector):
    """All files that are checked, by one process."""

    def collect(self) -> Iterable[pytest.Item]:
        """Checks them."""
        try:
            paths = self.config.getoption("zrecipe")
            report = check(paths, deny=self.config.getoption("zrecipe_deny"), cwd=self.config.invocation_params.dir)
        except (CheckError, FileNotFoundError) as error:
            raise self.CollectError(str(error)) from None
        for file in report.files:
            yield RecipeItem.from_parent(self, name=file.path, file=file)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the files to the tests."""
    if config.getoption("zrecipe"):
        collector = RecipeCollector.from_parent(session, name="zrecipe", nodeid="zrecipe")
        items.extend(session.genitems(collector))
