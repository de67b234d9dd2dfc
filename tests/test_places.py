"""Dependencies from places: files by URL and path, folders, commits of git repositories."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import CUTOFF, LOCK, PYTHON, Kgen
from tests.index import serving
from tests.test_hints import hints_of
from tests.wheelhouse import SourceDistribution, Wheel, Wheelhouse

from kgen import trees, workspace
from kgen.model import direct

BUILD = b"""\
import os, tomllib, zipfile

def _wheel(folder, editable):
    with open("pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    name, version = project["name"].replace("-", "_"), project.get("version") or open("version.txt").read().strip()
    info = "%s-%s.dist-info" % (name, version)
    here = os.path.abspath("src")
    files = {name + ".pth": here + "\\n"} if editable else {
        os.path.relpath(os.path.join(top, file), "src"): open(os.path.join(top, file)).read()
        for top, _, names in os.walk("src") for file in names if file.endswith(".py")
    }
    files[info + "/METADATA"] = "Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n" % (project["name"], version)
    files[info + "/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    scripts = project.get("scripts", {})
    if scripts:
        files[info + "/entry_points.txt"] = "[console_scripts]\\n" + "".join(
            "%s = %s\\n" % pair for pair in scripts.items()
        )
    record = "".join("%s,,\\n" % file for file in files) + info + "/RECORD,,\\n"
    filename = "%s-%s-py3-none-any.whl" % (name, version)
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as wheel:
        for file, text in {**files, info + "/RECORD": record}.items():
            wheel.writestr(file, text)
    return filename

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, False)

def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, True)
"""
SETTINGS = f"""\
[tool.kgen]
backends = ["numpy"]
cpu = true
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = "{CUTOFF}"
"""


@pytest.fixture(name="project")
def _project(kgen: Kgen, wheelhouse: Wheelhouse) -> Iterator[Kgen]:
    """A project, and an index that has what builds source trees."""
    house = wheelhouse.copy()
    house.put(Wheel(name="tree-build", version="1.2", files={"tree_build.py": BUILD}), Wheel(name="leaf", version="2"))
    house.put(Wheel(name="setuptools", version="80.0"), Wheel(name="wheel", version="0.45"))
    (kgen.folder / "pyproject.toml").write_text(SETTINGS)
    with serving(house) as index:
        yield kgen.at(index.url)


def settings(project: Kgen, text: str) -> None:
    (project.folder / "pyproject.toml").write_text(SETTINGS + text)


def tree(
    folder: Path, name: str, *, requires: str = "", version: str = '"1.0"', more: str = "", says: str = "one"
) -> None:
    (folder / "src").mkdir(parents=True, exist_ok=True)
    stated = 'dynamic = ["version"]' if version == "dynamic" else f"version = {version}"
    module = name.replace("-", "_")
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["tree-build"]\nbuild-backend = "tree_build"\n[project]\nname = "{name}"\n'
        f'{stated}\ndependencies = [{requires}]\nscripts = {{ {name}-tool = "{module}:main" }}\n{more}'
    )
    (folder / "version.txt").write_text("7.5")
    (folder / f"src/{module}.py").write_text(f"def main():\n    print({says!r})\n")


def locked(project: Kgen) -> dict[str, dict[str, Any]]:
    data = tomli.loads((project.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text())
    return {one["name"]: one for one in data["packages"]}


def build_of(project: Kgen) -> list[str]:
    data = tomli.loads((project.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text())
    return [f"{one['name']} {one['version']}" for one in data["tool"]["kgen"].get("build", [])]


def commit(folder: Path, message: str = "a commit", *, branch: str = "main") -> str:
    def git(*words: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    if not (folder / ".git").exists():
        git("init", "--quiet", "--initial-branch", branch)
    git("add", "--all")
    git("commit", "--quiet", "--message", message)
    return git("rev-parse", "HEAD").strip()


def stands(project: Kgen) -> bool:
    """Whether locking again asks nobody: no uv, no git."""
    watch = project.folder.parent / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(
        "import sys\n"
        "def watch(event, args):\n"
        "    if event in {'subprocess.Popen', 'os.posix_spawn', 'os.fork'}:\n"
        "        print('called:', args, file=sys.stderr)\n"
        "sys.addaudithook(watch)\n"
    )
    done = project("lock", PYTHONPATH=str(watch))
    return done.status == 0 and "unchanged" in done.stdout and "called:" not in done.stderr


class TestFolders:
    def test_editable_with_what_it_requires(self, project: Kgen, tmp_path: Path) -> None:
        tree(project.folder / "libs/branch", "branch", requires='"leaf"')
        settings(project, 'dependencies = ["branch @ ./libs/branch"]\n')
        done = project("lock")
        assert done.status == 0, done.stderr
        rows = locked(project)
        assert rows["branch"]["directory"] == {"path": "../../libs/branch", "editable": True}
        assert len(rows["branch"]["tool"]["kgen"]["sha256"]) == 64
        assert rows["leaf"]["version"] == "2"
        assert build_of(project) == ["tree-build 1.2"]
        text = (project.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text()
        assert str(project.folder) not in text
        assert project("check").status == 0
        assert stands(project)

        done = project("sync", "numpy")
        assert done.status == 0, done.stderr
        assert "by hand" not in done.stderr
        assert project("run", "numpy", "--", "branch-tool").stdout == "one\n"
        assert project("check", "--installed").status == 0
        (project.folder / "libs/branch/src/branch.py").write_text("def main():\n    print('two')\n")
        assert project("run", "numpy", "--", "branch-tool").stdout == "two\n"

        # settings of other tools change nothing, what it requires does
        pyproject = project.folder / "libs/branch/pyproject.toml"
        before = pyproject.read_text()
        pyproject.write_text(pyproject.read_text() + "[tool.ruff]\nline-length = 100\n")
        assert project("check").status == 0
        tree(project.folder / "libs/branch", "branch", requires='"leaf", "tiny"')
        check = project("check")
        assert check.status == 1
        assert "has branch from ./libs/branch, which says something else now in its pyproject.toml" in check.stdout
        assert "branch (./libs/branch)" in project("export", "requirements", "numpy").stderr
        done = project("sync", "numpy", "--reinstall")
        assert done.status == 2
        assert "branch (./libs/branch) says something else in pyproject.toml than when it was locked" in done.stderr
        pyproject.write_text(before)

        # a project that moves takes its folders along
        moved = tmp_path / "elsewhere"
        project.folder.rename(moved)
        done = project("run", "numpy", "--", "python", "-c", "import branch; print(branch.__file__)", cwd=moved)
        assert done.status == 0, done.stderr
        assert "elsewhere/libs/branch/src/branch.py" in done.stdout

    def test_of_a_folder_and_of_the_workspace(self, project: Kgen) -> None:
        root = project.folder
        sources = "[tool.uv.sources]\nleaf = { workspace = true }\n"
        tree(root / "packages/branch", "branch", requires='"leaf; extra == \'x\'", "leaf>=1"', more=sources)
        tree(root / "packages/leaf", "leaf", version="dynamic", says="leaf")
        (root / "pyproject.toml").write_text(
            '[project]\nname = "top"\nversion = "1"\ndependencies = ["branch"]\n'
            '[tool.uv.workspace]\nmembers = ["packages/*"]\n[tool.uv.sources]\nbranch = { workspace = true }\n'
            + SETTINGS
        )
        refused = project("lock")
        assert refused.status == 4
        assert "leaf" in refused.stderr  # which nobody knows to be at least 1 before it is built
        tree(root / "packages/branch", "branch", requires='"leaf"', more=sources)
        done = project("lock")
        assert done.status == 0, done.stderr
        rows = locked(project)
        assert {name: rows[name]["directory"]["path"] for name in ("branch", "leaf")} == {
            "branch": "../../packages/branch",
            "leaf": "../../packages/leaf",
        }
        assert "version" not in rows["leaf"]
        assert re.search(r"(?m)^leaf +dynamic$", project("list").stdout)
        (component,) = (
            one for one in json.loads(project("export", "cyclonedx").stdout)["components"] if one["name"] == "leaf"
        )
        assert (component.get("version"), component["purl"]) == (None, "pkg:pypi/leaf")
        assert project("check").status == 0
        assert project("run", "numpy", "--", "leaf-tool").stdout == "leaf\n"
        assert project("check", "--installed").status == 0

    def test_of_the_root_of_the_workspace(self, project: Kgen) -> None:
        """A member has the sources and the settings of the root, and a copy without the repository is as good."""
        root = project.folder / "mono"
        member = replace(project, folder=root / "packages/served")
        tree(root / "packages/branch", "branch", requires='"leaf"')
        tree(project.folder / "lib", "lib")
        tree(
            member.folder,
            "served",
            requires='"branch", "lib"',
            more="[tool.uv.sources]\nlib.path = '../../../lib'\n",
        )
        (member.folder / "kgen.toml").write_text(SETTINGS.removeprefix("[tool.kgen]\n"))
        (root / "pyproject.toml").write_text(
            '[tool.uv]\nexclude-dependencies = ["leaf"]\n[tool.uv.workspace]\nmembers = ["packages/*"]\n'
            "[tool.uv.sources]\nbranch = { workspace = true }\nlib.path = 'absent'\n"
        )
        (project.folder / "pyproject.toml").unlink()
        subprocess.run(["git", "init", "--quiet"], cwd=project.folder, check=True)
        done = member("lock")
        assert done.status == 0, done.stderr
        rows = locked(member)
        assert "leaf" not in rows
        assert [rows[name]["directory"]["path"] for name in ("branch", "lib")] == [
            "../../../branch",
            "../../../../../lib",
        ]
        text = (member.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text()
        assert tomli.loads(text)["tool"]["kgen"]["uv"] == ["exclude-dependencies: leaf"]

        shutil.rmtree(project.folder / ".git")
        for call in ("check", "lock", "sync"):
            done = member(call)
            assert done.status == 0, done.stderr
        # a first lock knows of no folder that was shared, but for those of the workspace
        shutil.rmtree(member.folder / "locks")
        done = member("lock")
        assert done.status == 2
        assert "`lib` is to come from " in done.stderr
        assert "`branch`" not in done.stderr

        pyproject = root / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace('["leaf"]', '["leaf", "absl-py"]'))
        (project.folder / ".hg").mkdir()
        assert member("lock").status == 0
        pyproject.write_text(pyproject.read_text().replace('["leaf", "absl-py"]', '["leaf"]'))
        done = member("check")
        assert done.status == 1
        assert "with `exclude-dependencies: absl-py`" in done.stdout

    def test_an_index_that_only_a_tree_names(self, project: Kgen) -> None:
        """Its package may be anyone's on another index."""
        index = '[[tool.uv.index]]\nname = "mine"\nurl = "https://mine.invalid/simple"\nexplicit = true\n'
        of_leaf = '[tool.uv.sources]\nleaf = [{ index = "mine", marker = "sys_platform == \'linux\'" }]\n'
        tree(project.folder / "lib", "lib", requires='"leaf[x]>=1"', more=of_leaf + index)
        settings(project, 'dependencies = ["lib @ lib"]\n')
        done = project("lock")
        assert done.status == 2
        assert "numpy-cpu: lib takes leaf from the index `mine`, and kgen takes one from an index of its" in done.stderr
        assert "hint: kgen add 'leaf[x]'\n" in done.stderr
        lib = project.folder / "lib/pyproject.toml"
        text = lib.read_text()
        lib.write_text(text.replace("== 'linux'", "== 'win32'"))
        assert project("lock").status == 0
        lib.write_text(text)
        index = index.replace("https://mine.invalid/simple", project.environment["UV_DEFAULT_INDEX"])
        settings(project, 'dependencies = ["lib @ lib", "leaf"]\n' + of_leaf + index)
        done = project("lock")
        assert done.status == 0, done.stderr

    def test_extras(self, project: Kgen) -> None:
        tree(project.folder / "lib", "lib", more='[project.optional-dependencies]\nmore = ["leaf"]\n')
        settings(project, 'dependencies = ["lib @ lib"]\n')
        assert project("lock").status == 0
        assert "leaf" not in locked(project)
        settings(project, 'dependencies = ["lib[more] @ lib"]\n')
        assert project("lock").status == 0
        assert "leaf" in locked(project)

    def test_outside_of_the_repository(self, project: Kgen) -> None:
        outside = project.folder.parent / "outside"
        tree(outside, "lib")
        settings(project, 'dependencies = ["lib @ ../outside"]\n')
        done = project("lock")
        assert done.status == 2
        assert (
            "outside of the repository, where others do not have it; `outside-folders = true` (--outside-folders)"
            in (done.stderr)
        )
        assert project("lock", "--outside-folders").status == 0
        assert project("check").status == 2
        settings(project, 'dependencies = ["lib @ ../outside"]\noutside-folders = true\n')
        assert project("check").status == 0
        # in one repository with the project it is where everybody has it
        subprocess.run(["git", "init", "--quiet"], cwd=project.folder.parent, check=True)
        settings(project, 'dependencies = ["lib @ ../outside"]\n')
        assert project("lock").status == 0
        assert locked(project)["lib"]["directory"]["path"] == "../../../outside"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                '[project]\nname = "lib"\ndynamic = ["dependencies"]\n',
                "has dynamic dependencies: they are known only to",
            ),
            ('[project]\nname = "lib"\ndependencies = "x"\n', "project.dependencies: should be an array of texts"),
            ('[project]\nname = "lib"\nversion = "one"\n', "`one` is not a version"),
            ("[tool.poetry]\nname = 'lib'\n", "has no [project] with a name in pyproject.toml"),
            ("[project\n", "has a pyproject.toml that is not valid TOML"),
        ],
    )
    def test_what_does_not_say_what_it_requires(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(ValueError, match=r"^(has|says) ") as caught:
            trees.source_tree(trees.reading(tmp_path))
        assert message in str(caught.value)

    def test_another_package(self, project: Kgen) -> None:
        tree(project.folder / "lib", "other")
        settings(project, 'dependencies = ["lib @ lib"]\n')
        done = project("lock")
        assert (done.status, "error: numpy-cpu: lib is other, and lib is to come from there" in done.stderr) == (
            2,
            True,
        )

    def test_a_source_that_is_not_there_is_mended_where_it_stands(self, project: Kgen) -> None:
        settings(project, "[project]\nname = 'own'\nversion = '1'\ndependencies = ['lib']\n")
        own = project.folder / "pyproject.toml"
        own.write_text(own.read_text(encoding="utf-8") + "\n[tool.uv.sources]\nlib = { path = 'nowhere' }\n", "utf-8")
        done = project("lock")
        assert done.status == 2
        assert "`lib` is to come from " in done.stderr
        assert done.stderr.endswith("\n\nhint: edit pyproject.toml\nhint: kgen lock --no-project\n")

    def test_what_is_not_there(self, project: Kgen) -> None:
        settings(project, 'dependencies = ["lib @ nowhere", "self @ ."]\n')
        done = project("lock")
        assert done.status == 2
        assert "`lib` is to come from " in done.stderr
        assert "nowhere, and there is no such folder" in done.stderr
        assert (
            "`self` is the project itself, and no `build-system` in pyproject.toml says what builds it" in done.stderr
        )
        own = project.folder / "pyproject.toml"
        described = '[project]\nname = "self"\nversion = "1"\n\n[build-system]\nrequires = ["setuptools"]\n'
        own.write_text(f"{own.read_text(encoding='utf-8')}\n{described}", encoding="utf-8")
        assert "`self` is the project itself, which `kgen sync` installs by itself" in project("lock").stderr


class TestFiles:
    def test_a_wheel_in_the_project(self, project: Kgen) -> None:
        wheel = Wheel(name="brought", version="3.1", requires=("leaf",), files={"brought.py": b"X = 1\n"})
        (project.folder / "wheels").mkdir()
        path = project.folder / "wheels" / wheel.filename
        path.write_bytes(wheel.content)
        settings(project, f'dependencies = ["brought @ wheels/{wheel.filename}"]\n')
        done = project("lock")
        assert done.status == 0, done.stderr
        row = locked(project)["brought"]
        assert row["archive"]["path"] == f"../../wheels/{wheel.filename}"
        assert row["archive"]["hashes"]["sha256"] == wheel.sha256
        assert "leaf" in locked(project)
        assert "only this machine" not in done.stderr
        assert project("check").status == 0
        assert stands(project)
        done = project("run", "numpy", "--", "python", "-c", "import brought; print(brought.X)")
        assert (done.status, done.stdout) == (0, "1\n"), done.stderr
        assert project("check", "--installed").status == 0
        exported = project("export", "requirements", "numpy")
        assert f"\n./wheels/{wheel.filename} --hash=sha256:{wheel.sha256}\n" in exported.stdout
        path.write_bytes(wheel.content + b"x")
        check = project("check")
        assert check.status == 1
        assert f"has brought from ./wheels/{wheel.filename}, which is another file now" in check.stdout

    def test_a_wheel_by_url_with_its_digest(self, project: Kgen, wheelhouse: Wheelhouse) -> None:
        wheel = Wheel(name="served", version="1.0rc1", files={"served.py": b"X = 2\n"})
        other = wheelhouse.copy()
        other.put(wheel)
        with serving(other) as server:
            url = f"{server.url.removesuffix('/simple')}/files/{wheel.filename}"
            settings(project, f'dependencies = ["served @ {url}#sha256={"0" * 64}"]\n')
            wrong = project("lock")
            assert wrong.status == 4, wrong.stderr
            settings(project, f'portable = true\ndependencies = ["served @ {url}#sha256={wheel.sha256}"]\n')
            done = project("lock")
            assert done.status == 0, done.stderr
            assert locked(project)["served"]["archive"]["url"] == url
            assert "pre-release" not in done.stderr  # the file itself is asked for
            assert project("check").status == 0
            done = project("run", "numpy", "--", "python", "-c", "import served; print(served.X)")
            assert (done.status, done.stdout) == (0, "2\n"), done.stderr

    def test_a_source_distribution(self, project: Kgen) -> None:
        source = SourceDistribution(
            name="sourced",
            version="1.5",
            requires=("leaf",),
            files={
                "pyproject.toml": b'[build-system]\nrequires = ["tree-build"]\nbuild-backend = "tree_build"\n'
                b'[project]\nname = "sourced"\nversion = "1.5"\n',
                "src/sourced.py": b"X = 3\n",
            },
        )
        (project.folder / source.filename).write_bytes(source.content)
        settings(project, f'dependencies = ["sourced @ ./{source.filename}"]\n')
        refused = project("lock")
        assert refused.status == 2
        assert "is a source distribution, and kgen builds only what the user names" in refused.stderr
        assert "\nhint: or let the settings allow it: kgen add --build sourced\n" in refused.stderr
        settings(project, f'dependencies = ["sourced @ ./{source.filename}"]\nbuild = ["sourced"]\n')
        done = project("lock")
        assert done.status == 0, done.stderr
        assert locked(project)["sourced"]["archive"]["path"] == f"../../{source.filename}"
        assert {"leaf", "sourced"} <= locked(project).keys()
        assert build_of(project) == ["tree-build 1.2"]
        assert project("check").status == 0
        done = project("run", "numpy", "--", "python", "-c", "import sourced; print(sourced.X)")
        assert (done.status, done.stdout) == (0, "3\n"), done.stderr


class TestGit:
    @pytest.fixture(name="repository")
    def _repository(self, project: Kgen, tmp_path: Path) -> Path:
        folder = tmp_path / "upstream"
        tree(folder / "python", "branch", requires='"leaf"')
        commit(folder)
        settings(project, f'dependencies = ["branch @ git+{folder.as_uri()}@main#subdirectory=python"]\n')
        return folder

    def test_submodules_come_along(self, project: Kgen, tmp_path: Path) -> None:
        """As with git and uv: the commit of each stands in the commit around it, so that the lock names all."""
        outer, inner, deep = (tmp_path / name for name in ("outer", "inner", "deep"))
        deep.mkdir()
        (deep / "deep.py").write_text("X = 'first'\n")
        first = commit(deep)
        inner.mkdir()
        (inner / "inner.py").write_text("Y = 1\n")
        tree(outer, "whole")
        for around, name, url in ((inner, "deep", deep.as_uri()), (outer, "src/inner", "../inner")):
            commit(around)
            allowed = ("git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
            # relative to where it comes from, which git takes from its remote
            if url.startswith(".."):
                subprocess.run(["git", "remote", "add", "origin", outer.as_uri()], cwd=around, check=True)
            subprocess.run([*allowed, url, name], cwd=around, check=True, capture_output=True)
            commit(around)
        # what comes later on the branch of a submodule is not what the commit names
        (deep / "deep.py").write_text("X = 'second'\n")
        assert commit(deep) != first
        settings(project, f'dependencies = ["whole @ git+{outer.as_uri()}"]\n')
        done = project("lock")
        assert done.status == 0, done.stderr
        assert stands(project)
        script = "from inner import inner; from inner.deep import deep; print(inner.Y, deep.X)"
        done = project("run", "numpy", "--", "python", "-c", script)
        assert (done.status, done.stdout) == (0, "1 first\n"), done.stderr
        # without a network all of it is in the cache
        shutil.rmtree(project.folder / ".kgen")
        for folder in (outer, inner, deep):
            folder.rename(folder.with_name(f"{folder.name}-gone"))
        assert project("sync", "numpy", "--offline").status == 0

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("ext::sh -c evil", "from `ext::sh -c evil`, which is not a URL of a git repository that kgen locks"),
            ("-u./evil", "from `-u./evil`, which is not a URL of a git repository that kgen locks"),
            (None, "and no URL of it in .gitmodules"),
        ],
    )
    def test_a_submodule_from_nowhere(self, project: Kgen, tmp_path: Path, url: str | None, said: str) -> None:
        outer = tmp_path / "outer"
        tree(outer, "whole")
        named = commit(outer)
        text = "" if url is None else f'[submodule "x"]\n\tpath = x\n\turl = {url}\n'
        (outer / ".gitmodules").write_text(text)
        words = ["git", "update-index", "--add", "--cacheinfo", f"160000,{named},x"]
        subprocess.run(words, cwd=outer, check=True)
        (outer / "x").mkdir()
        commit(outer)
        settings(project, f'dependencies = ["whole @ git+{outer.as_uri()}"]\n')
        done = project("lock")
        assert done.status == 2
        assert said in done.stderr

    @pytest.mark.parametrize("said_by", ["root", "member"])
    def test_a_workspace_in_a_repository(self, project: Kgen, tmp_path: Path, said_by: str) -> None:
        """What a member requires is another one, and not what an index has by that name."""
        upstream = tmp_path / "upstream"
        sources = '[tool.uv.sources]\nleaf = { workspace = true }\ninner = { path = "PLACE" }\n'
        own = sources.replace("PLACE", "../../inner") if said_by == "member" else ""
        tree(upstream / "packages/branch", "branch", requires='"leaf", "inner"', more=own)
        tree(upstream / "packages/leaf", "leaf", version='"0.5"')
        tree(upstream / "packages/out", "out")
        tree(upstream / "inner", "inner")
        (upstream / "template").mkdir()
        (upstream / "template/pyproject.toml").write_text("{{ template }}")
        above = sources.replace("PLACE", "inner") if said_by == "root" else ""
        (upstream / "pyproject.toml").write_text(
            f'{above}[tool.uv.workspace]\nmembers = ["packages/*", "template"]\nexclude = ["packages/out"]\n'
        )
        named = commit(upstream)
        settings(project, f'dependencies = ["branch @ git+{upstream.as_uri()}#subdirectory=packages/branch"]\n')
        done = project("lock")
        assert done.status == 0, done.stderr
        rows = locked(project)
        places = {"branch": "packages/branch", "leaf": "packages/leaf", "inner": "inner"}
        assert {name: rows[name]["vcs"]["subdirectory"] for name in places} == places
        assert {rows[name]["vcs"]["commit-id"] for name in places} == {named}

    def test_a_repository_of_this_machine(self, project: Kgen, repository: Path) -> None:
        """No form of a lock helps there, and the hint is what does."""
        asked = f'dependencies = ["branch @ git+{repository.as_uri()}#subdirectory=python"]\n'
        settings(project, asked)
        assert project("lock").status == 0
        done = project("check")
        assert done.status == 1
        (finding,) = json.loads(project("check", "--json").stdout)["findings"]
        assert finding["what"].endswith("builds branch from a place that only this machine has")
        assert finding["fix"].endswith("# a place that others reach, or `outside-folders = true`")
        settings(project, f"{asked}outside-folders = true\n")
        assert project("check").status == 0

    def test_a_commit_that_stays(self, project: Kgen, repository: Path) -> None:
        first = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
        ).stdout.strip()
        done = project("lock")
        assert done.status == 0, done.stderr
        assert locked(project)["branch"]["vcs"] == {
            "type": "git",
            "url": repository.as_uri(),
            "requested-revision": "main",
            "commit-id": first,
            "subdirectory": "python",
        }
        assert "leaf" in locked(project)
        assert build_of(project) == ["tree-build 1.2"]
        tree(repository / "python", "branch", says="two")
        second = commit(repository)
        # a branch that moved moves nothing until that is asked for
        assert stands(project)
        settings(project, f'{(project.folder / "pyproject.toml").read_text().removeprefix(SETTINGS)}keras = ">=3"\n')
        assert project("lock").status == 0
        assert locked(project)["branch"]["vcs"]["commit-id"] == first
        assert project("run", "numpy", "--", "branch-tool").stdout == "one\n"
        assert project("check", "--installed").status == 0
        commit(project.folder)
        assert project("lock", "--upgrade-package", "branch").status == 0
        assert locked(project)["branch"]["vcs"]["commit-id"] == second
        told = project("diff", "HEAD").stdout
        assert f"at {first[:12]}" in told
        assert f"at {second[:12]}" in told
        assert "leaf" not in locked(project)
        assert project("run", "numpy", "--", "branch-tool").stdout == "two\n"

    def test_who_reads_locks(self, project: Kgen, repository: Path) -> None:
        assert project("lock").status == 0
        head = locked(project)["branch"]["vcs"]["commit-id"]
        assert (
            f"branch ({repository.as_uri().replace(str(project.temporary), '[TEMP]')} at {head[:12]})"
            in project("export", "requirements", "numpy").stderr
        )
        assert "which no hash pins for pip" in project("export", "dockerfile", "numpy").stderr
        refused = project("bundle", "numpy", "-o", "b.tar")
        assert (refused.status, "and a bundle holds files: branch (" in refused.stderr) == (2, True), refused.stderr
        bill = json.loads(project("export", "cyclonedx", "numpy").stdout)
        purls = [one["purl"] for one in bill["components"] if one["name"] == "branch"]
        assert len(purls) == 1
        assert purls[0].startswith("pkg:pypi/branch@1.0?vcs_url=git%2Bfile%3A")
        assert purls[0].endswith(head)
        refused = project("lock", "--conda")
        assert (
            "a conda lock holds packages of channels, and these are from other places: branch @ git+" in refused.stderr
        )
        assert project("lock", "--from", "locks/numpy-cpu/pylock.linux-64.toml").status == 0

    def test_a_lock_adds_no_tree(self, project: Kgen, repository: Path) -> None:
        """What is built is what the project names: a lock that somebody else made cannot run code."""
        assert project("lock").status == 0
        settings(project, "")
        done = project("sync", "numpy")
        assert done.status == 2
        assert f"has branch from {repository.as_uri().replace(str(project.temporary), '[TEMP]')} at " in done.stderr
        assert ", which neither the settings nor the project's own files name\n" in done.stderr
        at = f"branch @ git+{repository.as_uri()}@main#subdirectory=python"
        hint = f"kgen add '{at.replace(str(project.temporary), '[TEMP]')}'   # if you trust what it runs"
        assert hints_of(done.stderr)[0] == hint
        checked = project("check")
        assert checked.status == 1
        assert "has branch from " in checked.stdout
        # an extra of the project names it as well as the settings do
        (project.folder / "pyproject.toml").write_text(
            f'[project]\nname = "top"\nversion = "1"\n[project.optional-dependencies]\nall = ["branch @'
            f' git+{repository.as_uri()}@main#subdirectory=python"]\n{SETTINGS}'
        )
        assert project("sync", "numpy").status == 0

    def test_flags_name_it_for_a_lock_and_the_settings_for_an_environment(
        self, project: Kgen, repository: Path
    ) -> None:
        (project.folder / "kgen.toml").unlink(missing_ok=True)
        (project.folder / "pyproject.toml").unlink(missing_ok=True)
        at = f"branch @ git+{repository.as_uri()}@main#subdirectory=python"
        done = project(*LOCK, "numpy", "--cpu", "--no-nix", "--dependency", at)
        assert done.status == 0, done.stderr
        shown = at.replace(str(project.temporary), "[TEMP]")
        said = f"note: `kgen sync` builds branch only where the settings name it: `kgen add '{shown}'`\n"
        assert said in done.stderr
        assert project("check").status == 1
        assert project("sync", "numpy").status == 2
        assert project("add", at).status == 0
        assert "has branch" not in project("check").stdout
        assert project("sync", "numpy").status == 0

    def test_offline(self, project: Kgen, repository: Path, tmp_path: Path) -> None:
        assert project("lock").status == 0
        repository.rename(tmp_path / "gone")
        # what was fetched to lock it is there to install it
        assert project("run", "numpy", "--", "branch-tool").stdout == "one\n"
        done = project("sync", "numpy", "--reinstall", KGEN_CACHE_DIR=str(tmp_path / "empty"))
        assert done.status == 4
        # git's words are cut off where the path is long
        assert "error: git cannot read file://[TEMP]/upstream: " in done.stderr
        assert "hint: git ls-remote file://[TEMP]/upstream " in done.stderr
        done = project("sync", "numpy", "--reinstall", "--offline", KGEN_CACHE_DIR=str(tmp_path / "empty"))
        assert done.status == 4
        assert "is not on this machine, and `--offline` keeps git from fetching it" in done.stderr

    def test_without_git(self, project: Kgen, repository: Path, tmp_path: Path) -> None:
        assert repository.is_dir()
        done = project("lock", PATH=str(tmp_path))
        assert done.status == 4
        assert "branch is from a git repository, and there is no git on this machine" in done.stderr

    def test_what_cannot_be_locked(self, project: Kgen, repository: Path, tmp_path: Path, interpreter: str) -> None:
        settings(project, f'dependencies = ["branch @ git+{repository.as_uri()}@nowhere#subdirectory=python"]\n')
        done = project("lock")
        assert (done.status, "has no branch and no tag `nowhere`" in done.stderr) == (4, True), done.stderr
        (repository / "python/src/fast.c").write_text("int x;\n")
        commit(repository)
        settings(project, f'dependencies = ["branch @ git+{repository.as_uri()}#subdirectory=python"]\n')
        done = project("lock")
        assert (done.status, "is not pure Python (src/fast.c)" in done.stderr) == (2, True), done.stderr
        # a wheel of it, which is built by hand, is locked as any other
        first, second = (line.removeprefix("hint: ") for line in done.stderr.splitlines() if line.startswith("hint: "))
        python, *words = shlex.split(first.replace("[TEMP]", str(tmp_path)))
        index = {"PIP_INDEX_URL": project.environment["UV_DEFAULT_INDEX"], "HOME": str(tmp_path)}
        assert (python, words[:3]) == (f"python{PYTHON}", ["-m", "pip", "wheel"]), "a wheel for the lock's own Python"
        # which may have no pip of its own
        program = [sys.executable, "-m", "pip", "--python", interpreter, *words[2:]]
        subprocess.run(program, cwd=project.folder, env=project.env(**index), check=True, capture_output=True)
        settings(project, 'dependencies = ["branch"]\n')
        name, _, command = second.partition(", then: ")
        assert name == "name `branch` without its place"
        assert command == "UV_FIND_LINKS=wheels kgen lock"
        done = project("lock", UV_FIND_LINKS="wheels")
        assert done.status == 0, done.stderr
        assert locked(project)["branch"]["version"] == "1.0"


@pytest.mark.parametrize(
    ("members", "exclude", "found"),
    [
        (["lib/*"], [], {"sub", "tests"}),
        (["."], [], set()),
        ([".", "./lib/*/", "lib/x/../*"], [], {"sub", "tests"}),
        (["**"], [], {"sub", "tests"}),
        (["lib/s?b", "lib/[!a-s]*"], [], {"sub", "tests"}),
        (["", "/lib/*", "../*", "lib/\0", 3], [], set()),
        ("lib/*", [], set()),
        (["lib/*"], ["", ".", "tests", "lib"], {"sub", "tests"}),
        (["lib/*"], ["lib/tests/"], {"sub"}),
        (["lib/*"], ["./lib/t*"], {"sub"}),
        (["lib/*"], ["**/tests"], {"sub"}),
        (["lib/*"], ["**/lib/**"], set()),
        (["lib/*"], ["l*"], set()),
    ],
)
def test_members_of_a_workspace_are_those_that_uv_finds(
    tmp_path: Path, members: object, exclude: object, found: set[str]
) -> None:
    patterns = f"members = {json.dumps(members)}\nexclude = {json.dumps(exclude)}\n"
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "top"\n[tool.uv.workspace]\n{patterns}')
    for name in ("sub", "tests"):
        (tmp_path / "lib" / name).mkdir(parents=True)
        (tmp_path / "lib" / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    top = workspace.workspace_of(tmp_path)
    assert top is not None
    assert set(top.members()) == {"top"} | found
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("pyproject.toml")}
    committed = workspace.workspace_in_commit(files.get, iter(files), "")
    assert committed is not None
    folders = {name: path.relative_to(tmp_path).as_posix() for name, path in top.members().items()}
    assert committed == ("", {**folders, "top": ""})


@pytest.mark.parametrize("key", ["members", "exclude"])
def test_a_pattern_of_a_workspace_that_uv_refuses(tmp_path: Path, key: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.uv.workspace]\n{key} = ["lib/**x"]\n')
    top = workspace.workspace_of(tmp_path)
    assert top is not None
    with pytest.raises(ValueError, match=rf"tool\.uv\.workspace\.{key}: `\*\*` in `lib/\*\*x` is not all"):
        top.members()
    files = {"pyproject.toml": (tmp_path / "pyproject.toml").read_bytes()}
    assert workspace.workspace_in_commit(files.get, files, "") is None


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("git+https://host.example/a/b@main", None),
        ("git+https://host.example/a/b.git@v1.0#subdirectory=x/y", None),
        ("git+ssh://git@host.example/a/b", None),
        ("git+file:///srv/x@release/1", None),
        ("https://host.example/a-1-py3-none-any.whl", None),
        ("libs/x/", "libs/x"),
    ],
)
def test_the_text_of_a_place(text: str, normal: str | None) -> None:
    assert direct.parse(text).text == (normal or text)
    assert direct.parse(direct.parse(text).text) == direct.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("git+https://user:word@host.example/a", "holds credentials"),
        ("https://token@host.example/a-1.whl", "holds credentials"),
        ("git+https://host.example/a@-x", "is not a branch, a tag or a commit of git"),
        ("git+https://host.example/a@a..b", "is not a branch, a tag or a commit of git"),
        ("git+https://host.example/a#subdirectory=../x", "is not a folder below another"),
        ("git+ssh://-oProxyCommand=x/y", "is not the URL of a git repository"),
        ("git+ext::sh", "is not a URL that kgen locks"),
        ("hg+https://host.example/a", "of another kind than git"),
        ("https://host.example/a", "neither a wheel nor a source distribution"),
        ("https://host.example/a-1.whl#sha256=12", "is not a sha256"),
        ("a b", "is not a place of a package"),
    ],
)
def test_what_is_no_place(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^`") as caught:
        direct.parse(text)
    assert why in str(caught.value)
    assert "word" not in str(caught.value)
