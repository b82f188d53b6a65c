from pathlib import Path

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_ingress.admission import RUN_MESSAGES, Admission
from zekt_ingress.catalog_view import CatalogView


async def test_a_run_that_posts_more_than_its_share_is_told_to_wait(tmp_path: Path) -> None:
    async with open_backend(tmp_path, "ingress") as backend:
        view = CatalogView(backend.views)
        admission = Admission(view, caught_up=lambda: True, rate_limit=RateLimit(per_s=1000, burst=1000))
    for _ in range(RUN_MESSAGES):
        admission.check_run(1, 2)
    with pytest.raises(Refusal) as refusal:
        admission.check_run(1, 2)
    assert refusal.value.status == 429
    assert int(refusal.value.headers["Retry-After"]) >= 1
    admission.check_run(1, 3)
