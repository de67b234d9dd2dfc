"""What is locked for conda in conda's own forms, given to those who read them: conda-lock, rattler, pip."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rattler
import yaml
from rattler.explicit_environment import ExplicitEnvironmentSpec
from tests.channel import ChannelServer
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel
from tests.index import Index

from kgen.formats.conda import condafiles
from kgen.formats.conda.exporter import in_order, render_environment, render_rattler_lock

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64")


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


def raw(kgen: Kgen, *words: str) -> str:
    """What a command prints, with nothing made up in it."""
    done = subprocess.run(
        kgen.words(*words), check=True, capture_output=True, text=True, env=kgen.env(), cwd=kgen.folder
    )
    return done.stdout


def test_channels_of_which_one_ends_like_another() -> None:
    """Each package names its own, in every form that names channels."""
    records = [
        {"name": name, "version": "1", "build": "0", "channel": f"https://a.example/{at}/", "url": f"https://u/{name}"}
        for name, at in (("a", "mine/main"), ("b", "main"), ("c", "mine/label/dev"))
    ]
    platform = condafiles.CondaPlatform(
        specs=(), virtuals={}, cuda=None, cudnn=None, request={}, packages=tuple(records), wheels=()
    )
    file = condafiles.CondaFile(
        environment="jax-cpu",
        backends=("jax",),
        accelerator="cpu",
        python="3.12",
        mode="full",
        channels=("main", "mine/main", "mine/label/dev", "none"),
        variables={},
        kgen="1",
        matrix="0",
        platforms={"linux-64": platform},
    )
    pinned = yaml.safe_load(render_environment(file, "linux-64"))["dependencies"]
    assert pinned == ["mine/main::a=1=0", "main::b=1=0", "mine/label/dev::c=1=0"]
    pixis = yaml.safe_load(render_rattler_lock(file, "linux-64"))["environments"]["default"]["channels"]
    assert [row["url"] for row in pixis] == [
        "https://a.example/main/",
        "https://a.example/mine/main/",
        "https://a.example/mine/label/dev/",
        "none",
    ]


@pytest.fixture(name="locked")
def _locked(conda: Kgen, served: ChannelServer) -> Kgen:
    good(conda(*ASK, "jax", "--cuda", "12", "--channel", served.url))
    return conda


@pytest.fixture(name="base")
def _base(conda: Kgen, project: Path, served: ChannelServer) -> Kgen:
    (project / "kgen.toml").write_text('conda = "base"\n')
    good(conda(*ASK, "numpy", "--channel", served.url))
    return conda


class TestExplicit:
    def test_rattler_reads_it(self, locked: Kgen, project: Path) -> None:
        found = ExplicitEnvironmentSpec.from_str(raw(locked, "export", "conda-explicit", "jax-cuda12-conda"))
        records = condafiles.read(project / "locks/jax-cuda12/conda-records.json").platforms["linux-64"].packages
        assert str(found.platform) == "linux-64"
        assert sorted(one.url for one in found.packages) == sorted(f"{one['url']}#{one['md5']}" for one in records)

    def test_what_is_needed_comes_first(self, locked: Kgen, project: Path) -> None:
        """conda links a list as it stands, and a script of a package may run its Python."""
        records = condafiles.read(project / "locks/jax-cuda12/conda-records.json").platforms["linux-64"].packages
        names = {f"{one['url']}#{one['md5']}": one["name"] for one in records}
        lines = raw(locked, "export", "conda-explicit", "jax-cuda12-conda").splitlines()
        order = [names[line] for line in lines if line in names]
        assert len(order) == len(records)
        assert order != sorted(order)
        for one in records:
            inner = {spec.split()[0] for spec in one["depends"]} & set(order)
            assert all(order.index(name) < order.index(one["name"]) for name in inner), one["name"]

    def test_a_circle_of_needs(self) -> None:
        rows = {"python": ["pip", "zlib"], "pip": ["python", "wheel"], "wheel": ["python"], "zlib": [], "b": ["a"]}
        rows |= {"a": ["b"], "self": ["self"]}
        records = [{"name": name, "depends": depends} for name, depends in rows.items()]
        assert [one["name"] for one in in_order(records)] == ["b", "a", "zlib", "python", "wheel", "pip", "self"]

    @pytest.mark.parametrize("kind", ["locked", "base"])
    def test_it_is_what_conda_lock_renders(
        self, kind: str, request: pytest.FixtureRequest, project: Path, tmp_path: Path
    ) -> None:
        kgen: Kgen = request.getfixturevalue(kind)
        (folder,) = (project / "locks").glob("*-c*")
        words = ("render", "-k", "explicit", str(folder / "conda-lock.yml"))
        subprocess.run([sys.executable, "-m", "conda_lock", *words], check=True, capture_output=True, cwd=tmp_path)
        theirs = (tmp_path / "conda-linux-64.lock").read_text().splitlines()
        ours = raw(kgen, "export", "conda-explicit", folder.name).splitlines()
        content = [sorted(one for one in lines if re.match(r"@|http|# pip ", one)) for lines in (ours, theirs)]
        assert content[0] == content[1]
        assert any(line.startswith("# pip ") for line in ours) == (kind == "base")


class TestEnvironmentYml:
    def test_its_pins_solve_to_the_lock(self, locked: Kgen, project: Path, built: Channel, tmp_path: Path) -> None:
        """Each is a spec of conda's own grammar, all of them together have one solution, and that is the lock."""
        data = yaml.safe_load(raw(locked, "export", "environment-yml", "jax"))
        assert data["variables"] == {"KERAS_BACKEND": "jax"}
        (channel,) = data["channels"]
        # conda 26.7 takes `nodefaults` for a channel; with the channel in each spec nothing comes from others
        assert all(one.startswith(f"{channel}::") for one in data["dependencies"])
        locks = condafiles.read(project / "locks/jax-cuda12/conda-records.json").platforms["linux-64"]

        async def solve() -> list[str]:
            records = await rattler.solve(
                sources=[channel],
                specs=[rattler.MatchSpec(one) for one in data["dependencies"]],
                gateway=rattler.Gateway(
                    cache_dir=tmp_path / "repodata", default_config=rattler.SourceConfig(sharded_enabled=False)
                ),
                platforms=[*data["platforms"], "noarch"],
                virtual_packages=[
                    rattler.GenericVirtualPackage(
                        rattler.PackageName(name),
                        rattler.Version(text.split()[0]),
                        rattler.BuildString(text.partition(" ")[2] or "0"),
                    )
                    for name, text in locks.virtuals.items()
                ],
            )
            await asyncio.sleep(0.05)
            return sorted(record.url for record in records)

        assert asyncio.run(solve()) == sorted(one["url"] for one in locks.packages)
        assert built.records["linux-64"]

    def test_conda_lock_reads_it(self, base: Kgen, tmp_path: Path, project: Path) -> None:
        """As a source of its own: every pin of conda's, and every wheel with its URL and hash."""
        # it takes http, which the tests' index speaks, for a path
        text = raw(base, "export", "environment-yml", "numpy-cpu").replace("@ http:", "@ https:")
        (tmp_path / "environment.yml").write_text(text)
        script = """
import pathlib, sys
from conda_lock.src_parser import make_lock_spec
spec = make_lock_spec(src_files=[pathlib.Path(sys.argv[1])], mapping_url=sys.argv[2])
for one in spec.dependencies["linux-64"]:
    where = getattr(one, "url", None)
    print(one.manager, one.name, f"{where} {one.hashes}" if where else f"{one.version}={one.build}")
"""
        (tmp_path / "names.json").write_text("{}")
        words = [sys.executable, "-c", script, str(tmp_path / "environment.yml"), (tmp_path / "names.json").as_uri()]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        locked = condafiles.read(project / "locks/numpy-cpu/conda-records.json").platforms["linux-64"]
        ours = [f"conda {one['name']} {one['version']}={one['build']}" for one in locked.packages]
        ours += [
            f"pip {one['name']} {one['url'].replace('http:', 'https:')} ['sha256:{one['sha256']}']"
            for one in locked.wheels
        ]
        # a pin of pip gives way to one that it adds itself
        (pip,) = [line for line in ours if line.startswith("conda pip ")]
        theirs = done.stdout.replace("conda pip *=None", pip).splitlines()
        assert sorted(theirs) == sorted(ours)

    def test_pip_takes_its_wheels(self, base: Kgen, tmp_path: Path, project: Path, healthy: Index) -> None:
        """Conda gives pip the lines as they are; with a wrong hash it takes none."""
        assert healthy.url
        data = yaml.safe_load(raw(base, "export", "environment-yml", "numpy-cpu"))
        (lines,) = [one["pip"] for one in data["dependencies"] if isinstance(one, dict)]
        locked = condafiles.read(project / "locks/numpy-cpu/conda-records.json").platforms["linux-64"]
        for wrong in (False, True):
            text = "\n".join(lines)
            path = tmp_path / "requirements.txt"
            path.write_text(text.replace(locked.wheels[0]["sha256"], "0" * 64) if wrong else text)
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--no-index"]
            came = subprocess.run(
                [*pip, "-d", str(tmp_path / "got"), "-r", str(path)], check=False, capture_output=True, text=True
            )
            assert (came.returncode != 0) == wrong, came.stderr
            assert wrong or len(list((tmp_path / "got").iterdir())) == len(locked.wheels)


class TestRattlerLock:
    @pytest.mark.parametrize("kind", ["locked", "base"])
    def test_rattler_reads_it(
        self, kind: str, request: pytest.FixtureRequest, project: Path, tmp_path: Path, served: ChannelServer
    ) -> None:
        """All that the form holds of each package is what the channel says of it."""
        kgen: Kgen = request.getfixturevalue(kind)
        (folder,) = (project / "locks").glob("*-c*")
        (tmp_path / "pixi.lock").write_text(raw(kgen, "export", "rattler-lock", folder.name))
        environment = rattler.LockFile.from_path(tmp_path / "pixi.lock").default_environment()
        assert environment is not None
        (platform,) = environment.platforms()
        assert platform.name == "linux-64"
        ours = condafiles.read(folder / "conda-records.json").platforms["linux-64"]
        packages = environment.packages(platform) or []
        conda = [one for one in packages if isinstance(one, rattler.CondaLockedBinaryPackage)]
        theirs = [json.loads(one.repo_data_record().to_json()) for one in conda]
        same = [
            "name", "version", "build", "build_number", "subdir", "url", "md5", "sha256", "size", "timestamp",
            "depends", "constrains", "noarch", "license",
        ]  # fmt: skip
        kept = [{key: one.get(key) or None for key in same} for one in sorted(theirs, key=lambda one: str(one["name"]))]
        assert kept == [{key: one.get(key) or None for key in same} for one in ours.packages]
        assert {one["url"].startswith(served.url) for one in theirs} == {True}
        wheels = [one for one in packages if isinstance(one, rattler.PypiLockedPackage)]
        found = sorted((one.name, str(one.version), one.location, one.hashes) for one in wheels)
        assert [row[:3] for row in found] == [(one["name"], one["version"], one["url"]) for one in ours.wheels]
        hashes = [one.sha256.hex() if one is not None and one.sha256 is not None else "" for *_, one in found]
        assert hashes == [one["sha256"] for one in ours.wheels]
        assert bool(found) == (kind == "base")


class TestChoice:
    def test_a_platform(self, locked: Kgen, project: Path) -> None:
        path = project / "locks/jax-cuda12/conda-records.json"
        found = condafiles.read(path)
        one = found.platforms["linux-64"]
        for platforms, hint in (
            ({"linux-aarch64": one}, None),
            ({"linux-aarch64": one, "osx-arm64": one}, "linux-aarch64, osx-arm64"),
        ):
            path.write_text(condafiles.text(found._replace(platforms=platforms)), encoding="utf-8")
            done = locked("export", "conda-explicit", "jax")
            if hint is None:
                assert "# platform: linux-aarch64\n" in good(done).stdout
            else:
                assert done.status == 2
                assert done.stderr == (
                    "error: jax-cuda12 is locked for several platforms\n\n"
                    f"hint: give one of these with `--platform`: {hint}\n"
                )
        good(locked("export", "environment-yml", "jax", "--platform", "osx-arm64"))
        assert locked("export", "environment-yml", "jax", "--platform", "win-64").stderr.startswith(
            "error: jax-cuda12 is not locked for conda on win-64\n"
        )
        assert locked("export", "nix", "--platform", "linux-64").stderr == (
            "error: `--platform` is not for nix\n\n"
            "hint: these are of one platform: conda-explicit, rattler-lock, environment-yml\n"
        )

    def test_not_locked_for_conda(self, kgen: Kgen) -> None:
        good(kgen("lock", "jax", "--cpu", "--python", MINOR, "--platform", "linux-64"))
        assert kgen("export", "conda-explicit", "jax") == Result(
            2, "", f"error: jax-cpu is not locked for conda\n\nhint: kgen lock jax --cpu --python {MINOR} --conda\n"
        )

    def test_several_channels_are_named(self, locked: Kgen, project: Path, served: ChannelServer) -> None:
        path = project / "locks/jax-cuda12/conda-records.json"
        found = condafiles.read(path)
        path.write_text(condafiles.text(found._replace(channels=("conda-forge", served.url))), encoding="utf-8")
        data = yaml.safe_load(raw(locked, "export", "environment-yml", "jax"))
        assert all(one.startswith(f"{served.url}::") for one in data["dependencies"])
        assert all(rattler.MatchSpec(one).channel for one in data["dependencies"])
