"""What goes into the wheel."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def test_every_folder_of_the_package_is_in_the_wheel():
    listed = re.search(r"^packages = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert listed is not None
    packages = set(re.findall(r'"([\w.]+)"', listed[1]))
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "loaderscope").rglob("*.py")}
    assert {name for name in packages if not name.startswith("loaderscope.resources")} == found


def test_a_checkout_finds_its_resources_without_being_installed():
    code = "from loaderscope.resource_files import resource_folder; from loaderscope.sweep.demo_example import example_script; "
    code += "assert example_script().is_file(); print(resource_folder())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert pathlib.Path(done.stdout.strip()) == ROOT / "resources"
