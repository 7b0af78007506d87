"""Fuzz targets: every reader of the package, as a function of bytes (``make fuzz``; the tests run a short part)."""
