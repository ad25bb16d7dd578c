# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a request may be, the public endpoints, and events that run a model."""
