# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What pyproject.toml cannot say: the `evaluate` modules of metrics/ go along as dpsims_hf/metrics/."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithMetrics(build_py):
    """Copies metrics/NAME/NAME.py, its card and its requirements into the package that is built."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:  # the repository's own folder is found
            return
        for path in sorted(Path(__file__).parent.glob("metrics/*/*")):
            if path.suffix in (".py", ".md", ".txt"):
                target = Path(self.build_lib) / "dpsims_hf" / path.relative_to(Path(__file__).parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithMetrics})
