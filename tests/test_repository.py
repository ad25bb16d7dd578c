# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Rules of the house that a machine can check: the Hub closure's imports, devices, lazy imports, documented shapes."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dpsims_hf.hub.selection import PACKAGE_DATA, package_files


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
CLOSURE = sorted(
    path
    for pattern in ("configuration_*.py", "modeling_*.py", "layers_*.py", "image_processing_*.py", "pipeline_*.py")
    for path in PACKAGE.glob(pattern)
)
ALLOWED = {"torch", "transformers", "numpy", "PIL", "safetensors", "huggingface_hub"}
EXTRA = {"modeling_dpsims_discriminator.py": {"timm"}, "pipeline_": {"diffusers"}}
PURE = [*PACKAGE.glob("layers_*.py"), *PACKAGE.glob("modeling_*.py"), *PACKAGE.glob("training/objectives/*.py")]


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """(relative level, module) of every import statement, wherever it stands."""
    found = [(0, alias.name) for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return found + [(n.level, n.module or "") for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]


@pytest.mark.parametrize("path", CLOSURE, ids=lambda path: path.name)
def test_closure_imports_only_siblings_and_its_libraries(path: Path):
    extra = {name for prefix, names in EXTRA.items() if path.name.startswith(prefix) for name in names}
    for level, module in imports(ast.parse(path.read_text())):
        if level:
            assert level == 1 and module and "." not in module, f"{path.name}: relative import of {module!r}"
            assert (PACKAGE / f"{module}.py") in CLOSURE, f"{path.name} imports {module}, which does not travel"
        else:
            top = module.split(".")[0]
            assert top in ALLOWED | extra | set(sys.stdlib_module_names), f"{path.name} imports {module}"


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_no_device_strings_and_no_synchronisation_in_models_and_losses(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("item", "cuda"), f"{path.name}:{node.lineno} calls .{node.func.attr}()"


def test_every_public_forward_documents_itself():
    for path in [p for p in CLOSURE if p.name.startswith(("layers_", "modeling_"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "forward":
                docstring = ast.get_docstring(node)
                assert docstring, f"{path.name}:{node.lineno}: forward without docstring"


@pytest.mark.integration
def test_import_is_light_and_registers_the_auto_classes():
    code = (
        "import sys, dpsims_hf\n"
        "names = ('timm', 'diffusers', 'datasets', 'gradio', 'evaluate', 'accelerate')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "from transformers import AutoConfig, AutoModel\n"
        "config = AutoConfig.for_model('dpsims-generator', num_labels=3)\n"
        "print(heavy, config.num_labels, dpsims_hf.DPSIMSDiscriminator.__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy, rest = result.stdout.strip().rsplit("]", 1)
    # transformers itself may import accelerate when it is installed; nothing else may come.
    assert set(ast.literal_eval(heavy + "]")) <= {"accelerate"}, result.stdout
    assert rest.split() == ["3", "DPSIMSDiscriminator"]


def requirements(file: str) -> dict[str, Requirement]:
    """The lines of a requirements or constraints file, by name."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(one.name): one for one in found}


def test_constraints_pin_one_version_of_everything_that_is_required():
    pins = requirements("constraints.txt")
    for name, pin in pins.items():
        [one] = pin.specifier
        assert one.operator == "==" and not one.version.endswith("*") and "+" not in one.version, name
        assert pin.url is None and not pin.extras and pin.marker is None, name
    for name, required in (requirements("requirements.txt") | requirements("requirements-dev.txt")).items():
        [pin] = pins[name].specifier
        assert required.specifier.contains(pin.version), f"{required} does not allow {pins[name]}"
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    assert "-c constraints.txt" in (ROOT / ".ci" / "run").read_text()


HEADER = "# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0."
OUR_FOLDERS = ("dpsims_hf", "metrics", "tests", "tools", "benchmarks", "experiments", ".ci")


def test_every_python_file_begins_with_the_licence():
    """In one line, below `#!` where there is one. Copies in checkpoints/ equal the package's files."""
    files = [*ROOT.glob("*.py"), *(path for folder in OUR_FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    assert len(files) > 300
    heads = {path: path.read_text(encoding="utf-8").splitlines()[:2] for path in files}
    right = {path for path, lines in heads.items() if HEADER in lines and (lines[0] == HEADER or lines[0][:2] == "#!")}
    assert sorted(str(path.relative_to(ROOT)) for path in heads.keys() - right) == []


def test_packages_say_what_they_offer():
    """An `__init__.py` that imports or defines something lists it in `__all__`; most are a docstring alone."""
    files = sorted(PACKAGE.rglob("__init__.py"))
    assert len(files) > 20
    for path in files:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assigned = {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets}
        assert ast.get_docstring(ast.Module(body, [])), path
        assert len(body) == 1 or "__all__" in assigned, f"{path.relative_to(ROOT)} has no __all__"


def test_pre_commit_and_workflow_do_what_the_pipeline_does():
    """The hooks' ruff is the one of constraints.txt; the workflow's only step of its own is .ci/run."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    [ruff] = hooks["repos"]
    [pin] = requirements("constraints.txt")["ruff"].specifier
    assert ruff["rev"] == f"v{pin.version}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    [python] = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert oldest == f">={python}"


def test_the_package_is_marked_as_typed():
    """An empty py.typed, named where the wheel and the Hub take their files from."""
    assert (PACKAGE / "py.typed").read_text() == ""
    assert PACKAGE / "py.typed" in set(package_files(PACKAGE))
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["dpsims_hf"]
    assert sorted(data) == sorted(PACKAGE_DATA)


def test_modules_that_mypy_leaves_out_exist():
    """The list gets shorter: a module that is gone or renamed leaves it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] and settings["files"] == ["dpsims_hf"]
    [listed] = [entry["module"] for entry in settings["overrides"] if entry.get("ignore_errors")]
    assert len(listed) == len(set(listed)) <= 54
    for name in listed:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name


def test_one_word_for_a_dataset():
    two_words = "data" + " set"
    files = [path for pattern in ("*.md", "*.py") for path in ROOT.glob(pattern)]
    files += [path for folder in ("docs", *OUR_FOLDERS) for path in (ROOT / folder).rglob("*.[mp][dy]")]
    assert len(files) > 300
    assert [str(path) for path in files if two_words in path.read_text(encoding="utf-8").lower()] == []
