"""Which variables reach an environment, here and on a node of a cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.matrix.variables import let_in, on_node

HERE = {
    "PATH": "/bin",
    "HOME": "/root",
    "TMPDIR": "/scratch",
    "UV_CACHE_DIR": "/cache/uv",
    "TORCH_HOME": "/cache/torch",
}
RAYS = {
    "PYTHONPATH": "/ray/thirdparty_files",
    "OMP_NUM_THREADS": "1",
    "RAY_JOB_ID": "01000000",
    "RAY_CLIENT_MODE": "0",
    "PYTHONBREAKPOINT": "ray.util.rpdb.set_trace",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What Ray has in the processes that it starts."""


@pytest.mark.parametrize("name", ["PATH", "ONNX_X", "ORT_LOGGING_LEVEL", "TF_CPP_MIN_LOG_LEVEL", "OMP_WAIT_POLICY"])
def test_what_frameworks_read_comes_in(name: str) -> None:
    assert let_in({name: "1"}, pinned=True) == {name: "1"}


@pytest.mark.parametrize("name", ["RAY_ADDRESS", "SLURM_JOB_ID", "TOX_ENV_NAME", "PYTEST_ADDOPTS", "VIRTUAL_ENV", "X"])
def test_what_is_not_listed_stays_out(name: str) -> None:
    assert let_in({name: "1"}, pinned=False) == {}


def test_a_person_lets_in_what_their_models_read() -> None:
    environ = {"HARNESS_PASS_ENV": "ACME_* SIZE", "ACME_ROOT": "a", "SIZE": "3", "OTHER": "x"}
    assert let_in(environ, pinned=True) == {name: value for name, value in environ.items() if name != "OTHER"}


def test_an_ambient_environment_keeps_its_own_paths() -> None:
    environ = {"PYTHONPATH": "/opt", "LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}
    assert let_in(environ, pinned=False) == environ
    assert let_in(environ, pinned=True) == {}


def test_a_node_has_its_own_places_and_what_was_asked_for_and_nothing_of_rays() -> None:
    asked = {"PATH": "/usr/bin", "HOME": "/home/me", "UV_CACHE_DIR": "/home/me/uv", "TF_ENABLE_ONEDNN_OPTS": "0"}
    assert on_node(asked, HERE | RAYS, pinned=True, gpu=False) == HERE | {"TF_ENABLE_ONEDNN_OPTS": "0"}


def test_threads_that_were_asked_for_are_not_rays() -> None:
    assert on_node({"OMP_NUM_THREADS": "4"}, HERE | RAYS, pinned=True, gpu=False)["OMP_NUM_THREADS"] == "4"


def test_the_gpus_that_a_node_gives_count_where_one_is_served_on() -> None:
    here = HERE | {"CUDA_VISIBLE_DEVICES": "2"}
    assert on_node({"CUDA_VISIBLE_DEVICES": "0"}, here, pinned=True, gpu=True)["CUDA_VISIBLE_DEVICES"] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in on_node({"CUDA_VISIBLE_DEVICES": "0"}, here, pinned=True, gpu=False)


def test_an_ambient_environment_finds_what_lies_on_its_node() -> None:
    here = HERE | RAYS | {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}
    assert on_node({"LD_LIBRARY_PATH": "/elsewhere"}, here, pinned=False, gpu=False) == HERE | {
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64"
    }
    assert on_node({}, here, pinned=True, gpu=False) == HERE


SETTINGS = st.sampled_from(["LANG", "OMP_NUM_THREADS", "TF_X", "PYTHONWARNINGS", "UV_INDEX", "HARNESS_X", "OTHER"])
PLACES = st.sampled_from(["PATH", "HOME", "UV_CACHE_DIR", "TORCH_HOME", "OTHER_HOME"])


@given(st.dictionaries(SETTINGS, st.sampled_from(["1", "x"])), st.dictionaries(PLACES, st.sampled_from(["/a", "~/b"])))
def test_on_the_machine_itself_a_node_sees_what_is_seen_there(settings: dict[str, str], places: dict[str, str]) -> None:
    environ = settings | places
    local = let_in(environ, pinned=True)
    assert on_node(local, environ | RAYS, pinned=True, gpu=False) == local
