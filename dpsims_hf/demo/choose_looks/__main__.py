# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""See the package."""

from . import main


main()
