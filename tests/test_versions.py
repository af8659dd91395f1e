import tomllib
from pathlib import Path

from vitc.versions import PACKAGES, VERSION


def test_the_version_is_the_project_s(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION
    assert set(PACKAGES) <= {dependency.partition(">")[0] for dependency in project["dependencies"]}
