"""`--executor ray`: cells, and duels, on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import click

from harness.bench.errors import UsageError
from harness.bench.plan import Plan
from harness.cli.context import say
from harness.duel.grounds import Ground
from harness.duel.reserving import ReservedNode
from harness.executors.cluster import RayCluster
from harness.executors.machines import MachineClass
from harness.executors.units import Executor

C = TypeVar("C", bound=Callable[..., object])

LOCAL, RAY = "local", "ray"


def executor_options(command: C) -> C:
    """Where cells are converted and checked: on this machine, or on a cluster's."""
    command = click.option(
        "--machine",
        metavar="LABEL=VALUE",
        help="Run cells on the nodes with this Ray label, and time them on one of these that has nothing else to do.",
    )(command)
    command = click.option(
        "--address", metavar="ADDRESS", help="The cluster's, as Ray takes it; else the one that Ray finds here."
    )(command)
    return click.option(
        "--executor",
        "where",
        type=click.Choice([LOCAL, RAY]),
        default=LOCAL,
        show_default=True,
        help="Run cells here, or on the nodes of a Ray cluster; without --machine they are timed here (docs/scale.md).",
    )(command)


def check_where(where: str, *, address: str | None, machine: str | None, jobs: int | None) -> None:
    """Raise `UsageError` for options that are about the other executor, or that say nothing."""
    if machine:
        MachineClass.parse(machine)
    if where == LOCAL and machine:
        msg = f"--machine {machine} is a label of nodes of a Ray cluster: add --executor ray."
        raise UsageError(msg)
    if where == LOCAL and address:
        msg = f"--address {address} names a Ray cluster: add --executor ray."
        raise UsageError(msg)
    if address and address.startswith("ray://"):
        msg = f"{address}: what cells send as they come needs a machine of the cluster. Name HEAD:6379 there."
        raise UsageError(msg)
    if where == RAY and jobs is not None:
        msg = f"--jobs {jobs} is about this machine: on a cluster, as many cells are run as its nodes have room for."
        raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Who runs the cells of a plan, and where pairs of a duel are taken: None is for this machine."""

    executor_of: Callable[[Plan], Executor] | None = None
    ground: Ground | None = None


HERE = Elsewhere()


def where_duels_are(plans: Sequence[Plan], where: str, *, address: str | None, machine: str | None) -> Elsewhere:
    """Where the cells of `plans` are converted for a duel, and its pairs are taken. Raises as `ray_executors` does."""
    if where == LOCAL:
        return HERE
    executor_of = ray_executors(plans, address=address, machine=machine)
    largest = max(plans, key=lambda plan: plan.policy.memory_limit_mb)
    return Elsewhere(executor_of=executor_of, ground=ReservedNode(executor_of(largest)) if machine else None)


def ray_executors(
    plans: Iterable[Plan], *, address: str | None, machine: str | None = None
) -> Callable[[Plan], RayCluster]:
    """What runs each plan on a cluster, on its nodes of the class `machine` where one is asked for.

    Raises before any runs: `UsageError` where Ray is not installed or no node has room for a cell, and
    `ClusterError` where the cluster cannot be reached.
    """
    known: dict[tuple[object, ...], RayCluster] = {}
    of_class = MachineClass.parse(machine) if machine else None

    def executor(plan: Plan) -> RayCluster:
        key = plan.policy.threads, plan.policy.memory_limit_mb, plan.device
        if key not in known:
            known[key] = RayCluster(address, plan.policy, device=plan.device, tell=_tell, machine=of_class)
        return known[key]

    for plan in plans:
        executor(plan)
    return executor


def _tell(text: str) -> None:
    say(text, err=True)
