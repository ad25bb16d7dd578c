# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One module for each tab; `app_builder.TABS` lists them."""
