"""Rules of the house that a machine can check: the Hub closure's imports, devices, lazy imports, documented shapes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
CLOSURE = sorted(
    path
    for pattern in ("configuration_*.py", "modeling_*.py", "layers_*.py", "image_processing_*.py", "pipeline_*.py")
    for path in PACKAGE.glob(pattern)
)
ALLOWED = {"torch", "transformers", "numpy", "PIL", "safetensors", "huggingface_hub"}
EXTRA = {"modeling_dpsims_discriminator.py": {"timm"}, "pipeline_": {"diffusers"}}
PURE = [*PACKAGE.glob("layers_*.py"), *PACKAGE.glob("modeling_*.py"), PACKAGE / "training" / "losses.py"]
PURE += PACKAGE.glob("training/objective_*.py")


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
