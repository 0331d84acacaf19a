"""The instruction sets of a CPU, as a kernel tells them."""

from __future__ import annotations

import pytest

from harness.bench.inventory import cpu, instructions_in

X86 = "fpu mmx sse sse2 pni ssse3 fma sse4_2 popcnt aes avx f16c abm bmi1 avx2 avx512f avx512_vnni sha_ni amx_bf16"
ARM = "fp asimd aes pmull sha2 crc32 atomics fphp asimdhp asimddp sve i8mm bf16"


@pytest.mark.parametrize("more", ["hypervisor", "md_clear ibrs stibp flush_l1d", "smep smap sme sev vmx arat"])
def test_virtualization_and_mitigations_are_no_instructions(more: str) -> None:
    assert instructions_in(f"flags\t\t: {X86} {more}\n") == instructions_in(f"flags\t: {X86}\n")


@pytest.mark.parametrize(("line", "flags"), [("flags", X86), ("Features", ARM)])
def test_each_instruction_set_has_a_say(line: str, flags: str) -> None:
    whole = instructions_in(f"processor\t: 0\n{line}\t: {flags}\n")
    for flag in set(flags.split()) - {"fpu"}:
        left = " ".join(each for each in flags.split() if each != flag)
        assert instructions_in(f"{line}\t: {left}\n") != whole, flag


def test_this_machine_has_some() -> None:
    assert cpu()["instructions"]


def test_a_machine_that_tells_none_has_none() -> None:
    assert instructions_in("processor\t: 0\n") == {}
