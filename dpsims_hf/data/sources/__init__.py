# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Where datasets come from, local or on the Hub, and what `prepare` writes them as."""
