"""``python -m tests.report.page.renew``: write the expected data anew, to be looked at before it is committed."""

from __future__ import annotations

import json

from tests.report.page.pages import data_of, small_tables
from tests.report.page.test_page_data import EXPECTED

if __name__ == "__main__":
    EXPECTED.write_text(json.dumps(data_of(small_tables()), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
