"""Ray's node provider for one machine, with a pool folder for each node that it starts; the autoscaler imports it."""

import os
from pathlib import Path
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class OwnPools(FakeMultiNodeProvider):
    def _create_node_with_resources_and_labels(self, *arguments: Any) -> None:
        number = str(self._next_node_id + 1)
        os.environ["FASRAY_POOL_DIR"] = str(Path(os.environ["FASRAY_TEST_POOLS"]) / number)  # the node inherits it
        super()._create_node_with_resources_and_labels(*arguments)
