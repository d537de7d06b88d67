"""The pages that show other people's frameworks run on them."""

from __future__ import annotations

import pytest
from test_docs import NEEDING_LIBRARIES, ROOT, run_blocks

pytestmark = [
    pytest.mark.libraries,
    # What the frameworks themselves warn of is theirs.
    pytest.mark.filterwarnings("default"),
]


@pytest.mark.parametrize("page", sorted(NEEDING_LIBRARIES))
def test_a_page_runs(page: str) -> None:
    run_blocks(ROOT / "docs/how-to" / page)
