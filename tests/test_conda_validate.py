"""`kgen validate`, `doctor` and `check` take an environment of conda's like any other."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.channel import ChannelServer
from tests.command import Kgen, Result
from tests.conda_packages import MINOR
from tests.pinned import assert_pinned, frozen, locking
from tests.record_locks import label
from tests.test_validate import FAKES, checked, driver

from kgen import lockfiles
from kgen.actions import attest
from kgen.formats.conda import condafiles

__all__ = ["driver"]

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64")
NAME = "numpy-cpu-conda"


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@pytest.fixture(name="prefix")
def _prefix(project: Path) -> Path:
    return project / ".kgen/envs" / NAME


@pytest.fixture(name="validate")
def _validate(conda: Kgen, served: ChannelServer) -> Kgen:
    """`kgen` in a project that is locked for conda; the fake Keras and a real NumPy are on its Python's path."""
    good(conda(*ASK, "numpy", "--channel", served.url))
    path = f"{FAKES}:{sysconfig.get_paths()['purelib']}"
    return dataclasses.replace(conda, environment={**conda.environment, "PYTHONPATH": path})


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """A CPython for each test is much to keep."""
    yield
    for name in ("project/.kgen", "rattler"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)


class TestValidate:
    def test_a_receipt_of_the_conda_lock(self, validate: Kgen, project: Path, prefix: Path) -> None:
        done = good(validate("validate", NAME))
        assert done.stdout.splitlines()[1].startswith(
            f"{NAME}  numpy    cpu     passed   forward pass only: Keras cannot train on numpy"
        )
        path = project / "locks/numpy-cpu/receipts/cpu-conda.json"
        data = checked(path)
        records = project / "locks/numpy-cpu/conda-records.json"
        assert data["environment"] == NAME
        content = condafiles.lockfile(condafiles.read(records), records, str(data["platform"])).content
        assert data["lock"] == {
            "file": records.name,
            "sha256": lockfiles.digest(records.read_bytes()),
            "content": content,
        }
        assert data["installed"] == {"as_locked": True, "differences": []}
        assert prefix.is_dir()
        listed = good(validate("validate", "--list"))
        assert re.search(rf"^{NAME} +cpu +- +basic +passed +\S+ +this one +as locked$", listed.stdout, re.MULTILINE)
        assert "not proven anywhere: numpy-cpu\n" in listed.stderr
        assert "receipt" not in validate("check").stdout
        records.write_text(records.read_text().replace('"kgen": "', '"kgen": "0.'))
        assert "this one" in validate("validate", "--list", NAME).stdout
        records.write_text(re.sub(r'"sha256": "[0-9a-f]{4}', '"sha256": "0000', records.read_text()))
        assert "changed since" in validate("validate", "--list", NAME).stdout
        assert (
            "note: numpy-cpu: locks/numpy-cpu/receipts/cpu-conda.json is older than the lock: it proves another one"
            in validate("check", NAME).stdout
        )

    def test_both_where_none_is_named(self, validate: Kgen) -> None:
        """What is made of wheels finds the fakes of the channel's kind by the same path."""
        done = validate("validate", "--json")
        assert [one["environment"] for one in json.loads(done.stdout)["environments"]] == ["numpy-cpu", NAME]
        (only,) = json.loads(validate("validate", "--conda", "--json").stdout)["environments"]
        assert (only["environment"], only["receipt"]) == (NAME, "locks/numpy-cpu/receipts/cpu-conda.json")

    def test_another_version_than_the_lock_has(self, validate: Kgen, prefix: Path) -> None:
        good(validate("sync", NAME))
        (meta,) = (prefix / "conda-meta").glob("keras-*.json")
        meta.rename(meta.with_name(meta.name.replace("3.15.0", "3.14.0")))
        done = good(validate("validate", NAME, "--python", str(prefix)))
        assert f"note: {NAME}: what is installed is not what is locked:\n" in done.stderr
        assert "  keras 3.15.0 is locked, 3.14.0 is installed\n" in done.stderr

    def test_what_packages_do_at_activation_counts(self, validate: Kgen, prefix: Path) -> None:
        good(validate("sync", NAME))
        script = prefix / "etc/conda/activate.d/theirs.sh"
        script.write_text("export FAKE_KERAS='import fails' FAKE_MESSAGE=\"theirs, in $CONDA_PREFIX\"\n")
        done = validate("validate", NAME)
        assert done.status == 1
        assert f"error: {NAME} will not import on cpu: " in done.stderr
        assert f"theirs, in [TEMP]/project/.kgen/envs/{NAME}" in done.stderr

    def test_what_conda_sets_counts(self, validate: Kgen, prefix: Path) -> None:
        good(validate("sync", NAME))
        set_there = {"FAKE_KERAS": "import fails", "FAKE_MESSAGE": "theirs, `it's` $HOME"}
        (prefix / "conda-meta/state").write_text(json.dumps({"env_vars": set_there}))
        done = validate("validate", NAME)
        assert done.status == 1
        assert f"error: {NAME} will not import on cpu: " in done.stderr
        assert "theirs, `it's` $HOME" in done.stderr

    def test_a_backend_of_several_is_selected_behind_the_hook(self, conda: Kgen, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "numpy", "--together", "two", "--cpu", "--channel", served.url))
        path = f"{FAKES}:{sysconfig.get_paths()['purelib']}"
        done = conda("validate", "two-cpu-conda", "--json", PYTHONPATH=path)
        first, second = json.loads(done.stdout)["environments"][0]["steps"]
        assert (first["backend"], second["backend"]) == ("jax", "numpy")
        assert first["fault"] != "selects another backend"
        assert second["verdict"] == "passed"

    def test_what_is_locked_on_disk_and_proven(self, validate: Kgen) -> None:
        """A form after the other: what conda has proves nothing of the wheels."""
        good(validate("validate", NAME))
        rows = {row["environment"]: row for row in json.loads(validate("status", "--json").stdout)["environments"]}
        assert list(rows) == ["numpy-cpu", NAME]
        assert [(row["on_disk"], row["proven"]) for row in rows.values()] == [
            ("no", {}), ("as locked", {"cpu": "passed"}),
        ]  # fmt: skip
        root = validate.folder
        receipt = root / "locks/numpy-cpu/receipts/cpu-conda.json"
        assert attest.every_receipt(root, [NAME]) == attest.every_receipt(root, ["numpy-cpu"]) == (receipt,)
        other = receipt.with_name("cpu.json")
        other.write_text(receipt.read_text().replace(NAME, "numpy-cpu"))
        assert attest.every_receipt(root, [NAME]) == (receipt,)
        other.unlink()
        listed = json.loads(validate("list", NAME, "--json").stdout)["environments"]
        assert list(listed) == [NAME]
        assert listed[NAME]["keras"] == "3.15.0"
        # its backend names it where that is locked once, as it does without the ending
        assert json.loads(validate("list", "numpy-conda", "--json").stdout)["environments"] == listed
        assert good(validate("sync", "numpy-conda")).stderr == good(validate("sync", NAME)).stderr
        good(validate("validate", "numpy-conda"))
        assert validate("sync", "jax-conda").status == 2
        both = json.loads(validate("list", "--json").stdout)["environments"]
        assert list(both) == ["numpy-cpu", NAME]
        assert "python" not in both["numpy-cpu"]
        assert "python" in both[NAME]
        # a lock that is none makes its environment no row, and the others stay
        (validate.folder / "locks/numpy-cpu/conda-records.json").write_text("{}")
        left = json.loads(validate("status", "--json").stdout)["environments"]
        assert [(row["environment"], row["lock"]) for row in left] == [("numpy-cpu", "out of order")]

    def test_what_is_exported_of_wheels_alone(self, validate: Kgen) -> None:
        assert validate("export", "requirements", NAME) == Result(
            2,
            "",
            f"error: requirements is of wheels, and `{NAME}` is locked for conda\n\n"
            "hint: kgen export requirements numpy-cpu   # of the same environment as wheels\n"
            "hint: of conda's lock there are conda-explicit, rattler-lock, environment-yml\n",
        )
        good(validate("export", "requirements", "numpy-cpu"))
        good(validate("export", "conda-explicit", NAME))

    def test_not_locked_for_conda(self, conda: Kgen) -> None:
        good(conda("lock", "numpy", "--python", MINOR, "--platform", "linux-64"))
        hint = f"error: numpy-cpu is not locked for conda\n\nhint: kgen lock numpy --python {MINOR} --conda\n"
        for command in ("validate", "doctor", "sync"):
            assert conda(command, NAME) == Result(2, "", hint)
        assert conda("validate", "--conda").stderr.endswith(
            f"\n\nhint: kgen lock numpy --cpu --python {MINOR} --platform linux-64 --conda\n"
        )

    @pytest.mark.frameworks
    @pytest.mark.network
    def test_keras_itself_on_a_python_of_conda(self, project: Path, tmp_path: Path, served: ChannelServer) -> None:
        """Keras and NumPy as wheels of the index in a prefix of conda's: the real step, and every pin kept."""
        more = {"RATTLER_CACHE_DIR": str(tmp_path / "rattler")}
        kgen = frozen(Kgen(folder=project, temporary=tmp_path, environment={**os.environ, **more}))
        (project / "kgen.toml").write_text(f'conda = "base"\nchannels = ["{served.url}"]\n')
        with locking(kgen, label("numpy", MINOR)) as there:
            good(there(*ASK, "numpy", timeout=600))
        assert_pinned(project / "locks/numpy-cpu/pylock.linux-64.toml", label("numpy", MINOR))
        done = good(kgen("validate", NAME, timeout=600))
        assert "passed" in done.stdout
        data = checked(project / "locks/numpy-cpu/receipts/cpu-conda.json")
        assert data["installed"] == {"as_locked": True, "differences": []}
        assert data["steps"][0]["distance"]["outputs"] < 1e-6


class TestDoctor:
    def test_it_needs_no_interpreter(self, validate: Kgen, tmp_path: Path) -> None:
        done = validate("doctor", NAME, HOME=str(tmp_path), PYTHONPATH="")
        assert done.status == 0
        assert done.stdout.endswith(f"\n\n{NAME}: no faults\n")
        both = validate("doctor", HOME=str(tmp_path), PYTHONPATH="")
        assert both.stdout.endswith(f"numpy-cpu, {NAME}: no faults\n")

    def test_a_path_that_shadows(self, validate: Kgen) -> None:
        done = validate("doctor", "--conda", "numpy")
        assert done.status == 1
        assert f"fault: PYTHONPATH has another jax, keras\n  in:    {NAME}\n" in done.stdout

    def test_the_cuda_of_the_conda_lock(self, conda: Kgen, tmp_path: Path, served: ChannelServer, driver: Path) -> None:
        """Driver 535 is too old for CUDA 13 from conda as well, and what fixes it is a lock for conda."""
        good(conda(*ASK, "torch", "--cuda", "13", "--channel", served.url))
        done = conda("doctor", "torch-cuda13-conda", HOME=str(tmp_path), LD_LIBRARY_PATH=str(driver))
        assert done.status == 1
        (fault,) = re.findall(r"^fault: (the driver.*)\n  in:    (.*)$", done.stdout, re.MULTILINE)
        assert re.fullmatch(r"the driver 535.183.01 is older than 580, which CUDA 13.0 needs", fault[0])
        assert fault[1] == "torch-cuda13-conda"
        assert "  fix:   kgen lock torch --conda --cuda auto --driver 535.183.01" in done.stdout

    def test_another_cudnn(self, conda: Kgen, tmp_path: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cuda", "12", "--channel", served.url))
        (tmp_path / "libcudnn.so.9.8.0").write_bytes(b"cuDNN, of which no file name is believed")
        (tmp_path / "libcudnn.so.9").symlink_to("libcudnn.so.9.8.0")
        done = conda("doctor", "jax-cuda12-conda", HOME=str(tmp_path), LD_LIBRARY_PATH=str(tmp_path))
        offered = "cuDNN of a version that it does not tell is offered, and cuDNN 9.13.1.26 is locked"
        assert f"note: {offered}\n  in:    jax-cuda12-conda\n  where: [TEMP]/libcudnn.so.9 (by LD_LIBRARY_PATH)\n" in (
            done.stdout
        )


class TestByName:
    """`jax-cuda12-conda` is understood wherever an environment can be named."""

    def test_check(self, validate: Kgen) -> None:
        good(validate("check", NAME))

    def test_sync_makes_what_is_named(self, validate: Kgen, prefix: Path) -> None:
        assert good(validate("sync", NAME)).stdout == f"[TEMP]/project/.kgen/envs/{NAME}\n"
        assert "is as locked" in good(validate("sync", "--all", "--conda")).stderr
        assert prefix.is_dir()
        assert not prefix.with_name("numpy-cpu").exists()

    def test_what_is_on_disk_is_compared(self, validate: Kgen) -> None:
        good(validate("sync", "numpy", NAME, PYTHONPATH=""))
        done = good(validate("check", "--installed"))
        assert done.stdout == f"numpy-cpu: every file is as locked\n{NAME}: every file is as locked\n"


def test_conda_meta_is_read_by_names_alone(tmp_path: Path) -> None:
    """The step runs on any Python: what conda has linked is told by the names of the files."""
    (tmp_path / "conda-meta").mkdir()
    for name in ("ca-certificates-2026.1.4-hbd8a1cb_0.json", "libcudnn-9.13.1.26-h0_0.json", "history", "x.json"):
        (tmp_path / "conda-meta" / name).touch()
    script = "import sys; sys.prefix = sys.argv[1]; from kgen_step import installed; print(installed.of_conda())"
    step = Path(lockfiles.__file__).parent / "validation/step"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True, cwd=step
    )
    assert done.stdout == "{'ca-certificates': '2026.1.4', 'libcudnn': '9.13.1.26'}\n"
