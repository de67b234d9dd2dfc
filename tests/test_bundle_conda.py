"""Bundles of conda locks: the packages of a channel by hash, and environments of them without any channel."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tests.bundles import members, pack, without_network
from tests.channel import ChannelServer, Fault
from tests.command import CUTOFF, Kgen
from tests.conda_packages import MINOR

from kgen.formats import interface
from kgen.model import format as formats

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "--cpu", "--exclude-newer", CUTOFF)
NAME = "jax-cpu-conda"


@pytest.fixture(name="locked")
def _locked(conda: Kgen, served: ChannelServer) -> Kgen:
    done = conda(*ASK, "jax", "--channel", served.url)
    assert done.status == 0, done.stderr
    return conda


@pytest.fixture(name="bundled")
def _bundled(locked: Kgen, project: Path) -> Path:
    done = locked("bundle", NAME, "-o", "conda.tar")
    assert done.status == 0, done.stderr
    assert "'keras-kgen[conda]'" in done.stderr
    return project / "conda.tar"


class TestThereAndBack:
    def test_packages_by_hash_and_the_locks(self, bundled: Path, project: Path) -> None:
        found = members(bundled)
        path = project / "locks/jax-cpu/conda-records.json"
        lock = interface.read(formats.named("conda"), path, "linux-64")
        assert {name for name in found if name.startswith(("packages/", "wheels/"))} == {
            f"packages/{file.sha256}/{file.filename}" for file in lock.files
        }
        for name in ("conda-records.json", "conda-lock.yml"):
            assert found[f"locks/jax-cpu/{name}"] == (project / "locks/jax-cpu" / name).read_bytes()
        assert [row["name"] for row in json.loads(found["kgen-bundle.json"])["environments"]] == [NAME]
        assert [name for name in found if name.startswith("kgen/py_rattler-")]

    def test_the_environment_is_made_without_a_channel(
        self, locked: Kgen, bundled: Path, served: ChannelServer, tmp_path: Path
    ) -> None:
        there, cache = tmp_path / "there", tmp_path / "cache"
        there.mkdir()
        served.misbehave("500")
        came = without_network(locked, "unbundle", str(bundled), folder=there, cache=cache)
        assert came.status == 0, came.stderr
        assert came.stderr.endswith(f"\nnext: kgen sync {NAME}\n")
        made = without_network(locked, "sync", NAME, folder=there, cache=cache)
        assert made.status == 0, made.stderr
        script = "import sys, keras, jaxlib; print(keras.__version__, jaxlib.build[:3], sys.prefix)"
        ran = without_network(locked, "run", "--no-sync", NAME, "--", "python", "-c", script, folder=there, cache=cache)
        assert ran.stdout == f"3.15.0 cpu [TEMP]/there/.kgen/envs/{NAME}\n"
        record = json.loads(next((there / f".kgen/envs/{NAME}/conda-meta").glob("jaxlib-*.json")).read_text())
        assert record["url"].startswith(served.url)
        # what is unpacked is used again, and what is linked is not touched
        shutil.rmtree(there / ".kgen/envs")
        again = without_network(locked, "sync", NAME, folder=there, cache=cache)
        assert again.status == 0, again.stderr

    def test_every_form_where_none_is_named(self, locked: Kgen, project: Path) -> None:
        done = locked("bundle", "-o", "all.tar", "--json")
        assert done.status == 0, done.stderr
        assert json.loads(done.stdout)["environments"] == ["jax-cpu", NAME]
        found = members(project / "all.tar")
        assert {name.partition("/")[0] for name in found} == {
            "kgen-bundle.json", "kgen", "locks", "packages", "wheels"
        }  # fmt: skip

    def test_what_an_older_bundle_has_is_not_fetched_again(
        self, locked: Kgen, bundled: Path, served: ChannelServer
    ) -> None:
        before = bundled.read_bytes()
        served.misbehave("500")
        asked = len(served.asked)
        again = locked("bundle", NAME, "-o", "conda.tar", "--json")
        assert json.loads(again.stdout)["fetched"] == 0
        assert len(served.asked) == asked
        assert bundled.read_bytes() == before


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("500", "is out of order"),
            # the channel is there, and has this package no longer
            ("404", "/linux-64 has numpy-2.3.0-"),
            ("404", " no longer: "),
            ("404", "\nhint: kgen lock --conda --upgrade   # locks what the channels have now\n"),
            ("other bytes", "is not the file of the lock: sha256 "),
        ],
    )
    def test_a_channel_that_fails(
        self, locked: Kgen, project: Path, served: ChannelServer, fault: Fault, said: str
    ) -> None:
        served.misbehave(fault, at=r"numpy-.*\.conda$")
        done = locked("bundle", NAME, "-o", "conda.tar")
        assert done.status == 4
        assert said in done.stderr
        assert not (project / "conda.tar").exists()
        # what came is not fetched again
        every = {path.name for path in (served.folder).rglob("*.conda")}
        came = {path.name for path in Path(locked.environment["KGEN_CACHE_DIR"]).parent.rglob("files/*/*.conda")}
        served.fault = None
        served.asked.clear()
        assert locked("bundle", NAME, "-o", "conda.tar").status == 0
        asked = {name for path in served.asked if (name := path.rpartition("/")[2]) in every}
        assert [name for name in asked if name.startswith("numpy-")]
        assert not asked & came

    def test_offline_no_channel_is_asked(self, locked: Kgen, served: ChannelServer) -> None:
        served.asked.clear()
        refused = locked("bundle", NAME, "--offline", "-o", "conda.tar")
        assert refused.status == 4
        assert "are not in a folder on this machine, and `--offline` keeps kgen from fetching them: " in refused.stderr
        assert served.asked == []

    def test_a_package_that_was_changed_after_unbundling(self, locked: Kgen, bundled: Path, tmp_path: Path) -> None:
        there, cache = tmp_path / "there", tmp_path / "cache"
        there.mkdir()
        assert without_network(locked, "unbundle", str(bundled), folder=there, cache=cache).status == 0
        package = next((there / ".kgen/packages").glob("*/keras-*.conda"))
        other = next((there / ".kgen/packages").glob("*/numpy-*.conda"))
        package.write_bytes(other.read_bytes())
        made = without_network(locked, "sync", NAME, folder=there, cache=cache)
        assert made.status == 4
        assert "does not have the sha256 of the lock, and was not installed" in made.stderr
        assert not (there / f".kgen/envs/{NAME}").exists()

    def test_a_package_is_missing(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = members(bundled)
        name = next(name for name in content if "/keras-" in name and name.startswith("packages/"))
        listed = json.loads(content["kgen-bundle.json"])
        listed["files"] = [row for row in listed["files"] if row["path"] != name]
        del content[name]
        pack(tmp_path / "bad.tar", {**content, "kgen-bundle.json": json.dumps(listed).encode()})
        done = kgen("unbundle", str(tmp_path / "bad.tar"), "--into", str(tmp_path / "there"))
        assert done.status == 4
        assert f"{NAME} needs {name.rpartition('/')[2]}, which is not in it" in done.stderr

    @pytest.mark.parametrize("folder", ["wheels", "pythons"])
    def test_a_package_in_another_folder(self, kgen: Kgen, bundled: Path, tmp_path: Path, folder: str) -> None:
        content = members(bundled)
        name = next(name for name in content if name.startswith("packages/"))
        listed = json.loads(content["kgen-bundle.json"])
        moved = name.replace("packages/", f"{folder}/")
        for row in listed["files"]:
            row["path"] = moved if row["path"] == name else row["path"]
        pack(tmp_path / "bad.tar", {"kgen-bundle.json": json.dumps(listed).encode()})
        done = kgen("unbundle", str(tmp_path / "bad.tar"), "--into", str(tmp_path / "there"))
        assert done.status == 2
        assert f"is not a bundle of kgen: no bundle has {folder}/" in done.stderr


def test_wheels_beside_packages(conda: Kgen, served: ChannelServer, tmp_path: Path) -> None:
    """Of a lock whose frameworks are wheels, both come from the bundle."""
    (conda.folder / "kgen.toml").write_text('conda = "base"\n')
    done = conda(*ASK, "jax", "--channel", served.url)
    assert done.status == 0, done.stderr
    assert conda("bundle", NAME, "-o", "conda.tar").status == 0
    folders = {name.partition("/")[0] for name in members(conda.folder / "conda.tar")}
    assert {"packages", "wheels"} <= folders
    there, cache = tmp_path / "there", tmp_path / "cache"
    there.mkdir()
    served.misbehave("500")
    nowhere = dataclasses.replace(conda, folder=there)
    for words in (("unbundle", str(conda.folder / "conda.tar")), ("sync", NAME)):
        made = without_network(nowhere, *words, folder=there, cache=cache)
        assert made.status == 0, made.stderr
