"""A Ray cluster on this machine, for tests: a head without a core, and nodes that cells run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.executors.machines import MachineClass

NODE_MEMORY = 2 * 2**30

FAST, FAST_CPUS = MachineClass("machine", "fast"), 2
"""A class of nodes with more CPUs than a cell has."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray would have what runs on nodes come after all else on this machine
    "RAY_prestart_worker_first_driver": "0",  # such a worker has not what travels, so that no order gets it
    "RAY_health_check_period_ms": "500",  # a node that is killed is missed after 2 s instead of 15
    "RAY_health_check_initial_delay_ms": "500",
}


class Nodes:
    """A cluster's address, and its nodes, each a Ray node of its own processes."""

    def __init__(self, cluster: Any, nodes: list[Any]) -> None:
        self._cluster = cluster
        self.nodes = nodes
        self.address: str = cluster.address

    def kill(self, node: Any) -> None:
        """As `kill -9` of all that a node is made of: nobody is told."""
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def add(self, cpus: int = 1, **options: Any) -> Any:
        """One more node."""
        node = self._cluster.add_node(num_cpus=cpus, memory=NODE_MEMORY, **options)
        self.nodes.append(node)
        return node

    def add_fast(self, cache: Path, **variables: str) -> Any:
        """One more node, of the class `FAST`, which keeps what it has in a folder of its own."""
        own = {"HARNESS_NODE_CACHE": str(cache), **variables}
        return self.add(cpus=FAST_CPUS, labels={FAST.label: FAST.value}, env_vars=own)


@contextlib.contextmanager
def nodes(count: int, cache: Path) -> Iterator[Nodes]:
    """A cluster of `count` nodes with a core each, which keep environments in `cache`."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ |= {"HARNESS_NODE_CACHE": str(cache), **SETTINGS}
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        started = Nodes(cluster, [])
        for _ in range(count):
            started.add()
        yield started
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
