# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Reading a dataset: cells into arrays, the pass over all files, and what is kept of it."""
