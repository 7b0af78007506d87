"""Write the picture of the report that the documents show: ``python -m tools.picture``. It needs chromium.

The report is that of the bundled measurements of NAS-Bench-201, in a window of 1,280 pixels, in light colours.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hwnas_surrogate import load_table
from hwnas_surrogate.report import write_report
from tests.report.browser import Browser

PICTURE = Path("docs/report.png")
WIDTH, HEIGHT = 1280, 920
SECTION = "predicted"
"""What the window shows: scores in a table, and charts."""


def main() -> None:
    """Write the report, scroll to the section, and write its picture."""
    table = load_table(space="nasbench201")
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        browser.size(WIDTH, HEIGHT)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        browser.open(write_report(table, Path(folder) / "report.html"))
        browser.wait("document.documentElement.dataset.drawn === 'yes'")
        browser.js(f"document.getElementById('{SECTION}').scrollIntoView({{behavior: 'instant'}})")
        browser.picture(PICTURE)
    sys.stdout.write(f"{PICTURE}: {PICTURE.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
