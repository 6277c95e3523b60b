# SPDX-License-Identifier: Apache-2.0
"""What users install: the wheel and the source distribution, built here by the build backend itself."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from attrs import frozen

import actorpool
from tests.packaging.sources import PACKAGE, ROOT, plain_environment, run_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@frozen
class Built:
    """Two distributions of this tree, and the wheel that was built from the first of them."""

    sdist: Path
    wheel: Path
    wheel_of_sdist: Path

    def files(self) -> set[str]:
        """The files of the wheel, less its metadata."""
        return {name for name in zipfile.ZipFile(self.wheel).namelist() if ".dist-info/" not in name}

    def sdist_files(self) -> set[str]:
        """The files of the source distribution, below its one folder."""
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def about(self, name: str) -> str:
        """One file of the wheel's metadata."""
        folder = f"actorpool-{actorpool.__version__}.dist-info"
        return zipfile.ZipFile(self.wheel).read(f"{folder}/{name}").decode()

    def metadata(self) -> Message:
        return Parser().parsestr(self.about("METADATA"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("distributions")
    _build(ROOT, folder / "first", "sdist", "wheel")
    (sdist,) = (folder / "first").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    _build(folder / sdist.name.removesuffix(".tar.gz"), folder / "second", "wheel")
    (wheel,) = (folder / "first").glob("*.whl")
    (wheel_of_sdist,) = (folder / "second").glob("*.whl")
    return Built(sdist, wheel, wheel_of_sdist)


def _build(source: Path, target: Path, *kinds: str) -> None:
    for kind in kinds:
        command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target), "--target", kind]
        done = subprocess.run(
            command,
            cwd=source,
            env=plain_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr


def _tree() -> set[str]:
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files} | {"_actorpool_pytest.py"}


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    assert _tree() == built.files()
    assert "actorpool/py.typed" in built.files()


def test_the_source_distribution_holds_what_a_build_needs_and_no_tests(built: Built) -> None:
    about = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}

    assert _tree() | about == built.sdist_files() - {".gitignore"}


def test_the_source_distribution_builds_the_same_wheel(built: Built) -> None:
    first, second = zipfile.ZipFile(built.wheel), zipfile.ZipFile(built.wheel_of_sdist)

    assert {name: first.read(name) for name in first.namelist()} == {
        name: second.read(name) for name in second.namelist()
    }


def test_the_wheel_says_what_it_is(built: Built) -> None:
    metadata = built.metadata()

    assert ("actorpool", actorpool.__version__) == (metadata["Name"], metadata["Version"])
    assert ("Apache-2.0", ">=3.11") == (metadata["License-Expression"], metadata["Requires-Python"])


def test_the_wheel_asks_for_no_more_than_the_core_needs(built: Built) -> None:
    needed = [line for line in built.metadata().get_all("Requires-Dist", []) if "extra ==" not in line]

    assert ["attrs", "cronsim", "msgpack", "trio", "tzdata"] == sorted(
        line.partition(";")[0].partition(">")[0].strip() for line in needed
    )


def test_the_command_of_the_wheel_can_be_called(built: Built) -> None:
    points = ConfigParser()
    points.read_string(built.about("entry_points.txt"))

    assert ["console_scripts", "pytest11"] == points.sections()
    ((name, value),) = points.items("console_scripts")
    assert "actorpool" == name
    assert callable(EntryPoint(name, value, "console_scripts").load())


def test_the_wheel_brings_its_fixtures_to_whoever_runs_pytest(built: Built, tmp_path: Path) -> None:
    zipfile.ZipFile(built.wheel).extractall(tmp_path)
    (tmp_path / "test_mine.py").write_text(
        "import sys\n"
        "def test_first():\n    assert 'actorpool' not in sys.modules\n"
        "def test_fixture(actorpool_app):\n    assert 'asyncio' == actorpool_app.host\n"
    )
    command = "import pytest, sys; sys.exit(pytest.main(['-q', '-W', 'error', '-p', 'no:cacheprovider', {}]))"

    assert "2 passed" in run_python(command.format("'test_mine.py'"), cwd=tmp_path, PYTHONPATH=str(tmp_path))
    # A program may have imported the package before it runs pytest.
    assert "1 passed" in run_python(
        "import actorpool, " + command.format("'test_mine.py::test_fixture'")[7:],
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )


def test_the_wheel_can_be_imported_without_the_repository(built: Built, tmp_path: Path) -> None:
    zipfile.ZipFile(built.wheel).extractall(tmp_path)
    where = run_python("import actorpool; print(actorpool.__file__)", cwd=tmp_path, PYTHONPATH=str(tmp_path))

    assert str(tmp_path / "actorpool" / "__init__.py") == where.strip()
