"""Measures `kgen doctor` of ten environments for CUDA that are installed, above `python -c pass`.

    python benchmarks/doctor.py

Needs no network and no disk to speak of: the locks are this project's own for PyTorch and CUDA 12, and in the place of
the wheels stand libraries of a few hundred bytes with the names, the DT_NEEDED and the DT_RPATH of the real ones, and
RECORDs as long as theirs. The doctor reads the same of real ones: headers, dynamic sections, and RECORDs if it has not
examined the project before, which is not measured. Judges nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import tomllib
from run import KGEN, Taken, row, timed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.elves import shared_object

from kgen import lockfiles
from kgen.formats import environment
from kgen.model import format as formats
from kgen.verified_files import SETTLED

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "locks" / "torch-cuda12"
ENVIRONMENTS = 10

ROWS = {"torch": 12253, "sympy": 1573, "numpy": 1046, "keras": 911, "networkx": 603, "triton": 900, "setuptools": 350}
"""Rows of RECORDs, of torch 2.13, sympy 1.14, numpy 2.4, keras 3.15, networkx 3.6, triton 3.6, setuptools 84."""
OTHER_ROWS = 60

NVIDIA = {
    "cublas": ("libcublas.so.12", "libcublasLt.so.12", "libnvblas.so.12"),
    "cuda_cupti": (
        "libcupti.so.12", "libcheckpoint.so", "libnvperf_host.so", "libnvperf_target.so", "libpcsamplingutil.so",
    ),
    "cuda_nvrtc": (
        "libnvrtc.so.12", "libnvrtc-builtins.so.12.8", "libnvrtc.alt.so.12", "libnvrtc-builtins.alt.so.12.8",
    ),
    "cuda_runtime": ("libcudart.so.12",),
    "cudnn": (
        "libcudnn.so.9", "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9",
        "libcudnn_heuristic.so.9", "libcudnn_engines_precompiled.so.9", "libcudnn_engines_runtime_compiled.so.9",
    ),
    "cufft": ("libcufft.so.11", "libcufftw.so.11"),
    "cufile": ("libcufile.so.0", "libcufile_rdma.so.1"),
    "curand": ("libcurand.so.10",),
    "cusolver": ("libcusolver.so.11", "libcusolverMg.so.11"),
    "cusparse": ("libcusparse.so.12",),
    "cusparselt": ("libcusparseLt.so.0",),
    "nccl": ("libnccl.so.2",),
    "nvjitlink": ("libnvJitLink.so.12",),
    "nvshmem": ("libnvshmem_host.so.3", "nvshmem_bootstrap_uid.so.3", "nvshmem_transport_ibrc.so.3"),
    "nvtx": ("libnvToolsExt.so.1",),
}  # fmt: skip
"""Folder below `nvidia` -> its libraries."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    "libcublas.so.12": ("libcublasLt.so.12",),
    "libcusolver.so.11": ("libcublas.so.12", "libcublasLt.so.12", "libcusparse.so.12", "libnvJitLink.so.12"),
    "libcusparse.so.12": ("libnvJitLink.so.12",),
}
CUDA = (
    "libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9", "libcufft.so.11", "libcurand.so.10",
    "libcusparse.so.12", "libcusparseLt.so.0", "libnccl.so.2", "libcupti.so.12", "libcusolver.so.11", "libcufile.so.0",
    "libnvrtc.so.12", "libnvshmem_host.so.3",
)  # fmt: skip
TORCH: Mapping[str, tuple[str, ...]] = {
    "libtorch_global_deps.so": CUDA,
    "libc10.so": (),
    "libshm.so": ("libtorch_cpu.so", "libc10.so"),
    "libtorch.so": ("libtorch_cpu.so", "libtorch_cuda.so"),
    "libtorch_cpu.so": ("libc10.so", "libcudart.so.12", "libcupti.so.12", "libcufile.so.0"),
    "libc10_cuda.so": ("libc10.so", "libcudart.so.12"),
    "libtorch_cuda.so": ("libc10_cuda.so", "libtorch_cpu.so", *CUDA),
    "libtorch_cuda_linalg.so": ("libtorch_cuda.so", "libcusolver.so.11", "libcublas.so.12"),
    "libtorch_python.so": ("libtorch.so", "libshm.so"),
}


def libraries() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Path below the folder of packages, soname, DT_NEEDED and DT_RPATH of each library."""
    rpath = ":".join(["$ORIGIN", *(f"$ORIGIN/../../nvidia/{folder}/lib" for folder in NVIDIA)])
    for name, needed in TORCH.items():
        yield f"torch/lib/{name}", name, (*needed, "libc.so.6"), rpath
    yield "torch/_C.cpython-312-x86_64-linux-gnu.so", "", ("libtorch_python.so", "libc.so.6"), "$ORIGIN/lib"
    for folder, names in NVIDIA.items():
        for name in names:
            yield f"nvidia/{folder}/lib/{name}", name, (*NEEDS.get(name, ()), "libc.so.6"), "$ORIGIN"


def install(project: Path, name: str, *, copies: bool) -> int:
    """Puts an environment on disk, with libraries of its own or linked ones, and gives the number of them."""
    chosen = lockfiles.choose(project, name)
    source = environment.source(chosen, chosen.platforms["linux-64"], project / ".kgen/envs", formats.default())
    data = tomllib.loads(chosen.platforms["linux-64"].read_text())
    site = source.prefix / f"lib/python{data['tool']['kgen']['python']}/site-packages"
    (source.prefix / "bin").mkdir(parents=True)
    source.python.symlink_to(Path(sys.executable).resolve())
    (source.prefix / environment.SOURCE).parent.mkdir(parents=True)
    (source.prefix / environment.SOURCE).write_bytes(source.state)
    found = list(libraries())
    for path, soname, needed, rpath in found:
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        # as uv does where its cache is on the same filesystem
        cached = project / "cache" / path
        if copies or not cached.exists():
            (site / path).write_bytes(shared_object(*needed, soname=soname, rpath=rpath))
            cached.parent.mkdir(parents=True, exist_ok=True)
        if not copies:
            (site / path).hardlink_to(cached) if cached.exists() else cached.hardlink_to(site / path)
    for package in data["packages"]:
        name = package["name"]
        stem = name.removeprefix("nvidia-").rpartition("-cu")[0].replace("-", "_")
        own = [path for path, *_ in found if path.startswith("torch/" if name == "torch" else f"nvidia/{stem}/")]
        info = site / f"{name.replace('-', '_')}-{package['version']}.dist-info"
        info.mkdir(parents=True)
        rows = [f"{path},sha256={'x' * 43},1000" for path in own]
        rows += [
            f"{name}/some/module/of/it/file{n}.py,sha256={'x' * 43},{n}" for n in range(ROWS.get(name, OTHER_ROWS))
        ]
        # what a wheel's programs are is not the same in two environments: they say which Python runs them
        rows.append(f"../../../bin/{name},sha256={source.digest[:43]},200")
        (info / "RECORD").write_text("".join(f"{one}\n" for one in rows))
    installed = environment.installed(site, source.form)
    record = environment.Record(lock=source.digest, python="3", installed=installed, own={})
    (source.prefix / environment.RECORD).write_text(environment.record_text(record))
    return len(found)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--copies", action="store_true", help="no library is linked to that of another environment")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        project = Path(place)
        (project / "pyproject.toml").write_text('[tool.kgen]\nbackends = ["torch"]\ncuda = "12"\n')
        names = [f"e{number}-cuda12" for number in range(ENVIRONMENTS)]
        for name in names:
            folder = project / "locks" / name
            folder.mkdir(parents=True)
            text = (LOCK / "pylock.linux-64.toml").read_text().replace("torch-cuda12", name)
            (folder / "pylock.linux-64.toml").write_text(text)
        count = sum(install(project, name, copies=asked.copies) for name in names)
        # what was written this very moment is read again each time, and a project's environments are older
        time.sleep(SETTLED / 1e9 + 0.5)
        ours: list[Taken] = []
        empty: list[Taken] = []
        for _ in range(asked.rounds + 1):
            ours.append(timed([KGEN, "doctor"], cwd=project, allowed=(0, 1)))
            empty.append(timed([sys.executable, "-c", "pass"], cwd=project))
        row(f"kgen doctor, {len(names)} environments with {count} libraries", ours[1:], 1000, "ms", 0)
        row("python -c pass", empty[1:], 1000, "ms", 0)
        above = [(one.seconds - other.seconds) * 1000 for one, other in zip(ours, empty, strict=True)][1:]
        print(f"  above it: {statistics.median(above):.0f} ms ({min(above):.0f}-{max(above):.0f})")


if __name__ == "__main__":
    main()
