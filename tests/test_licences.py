"""Licences: read of the wheels' METADATA, named, locked, compared, exported."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression
from tests.channel import ChannelServer
from tests.command import LOCK, Kgen, tree
from tests.conda_packages import MINOR
from tests.index import Index
from tests.test_diff import git
from tests.wheelhouse import Wheel

from kgen import licences, lockfiles
from kgen.emitters import cyclonedx
from kgen.formats.wheels import FORMAT
from kgen.licences import name
from kgen.model.licence import Declared
from kgen.model.lockfile import LockedFile, Lockfile

OSI = "License :: OSI Approved :: "
KNOWN = tomli.loads(Path(licences.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NUMPY = "locks/numpy-cpu/pylock.linux-64.toml"


def as_before(text: str) -> str:
    """A lock as an older kgen wrote it: without licences and without a seal."""
    without = re.sub(r"\n\[tool\.kgen\.licences\]\n[^\[]*?\n(?=\n)", "", text)
    assert without != text
    return "".join(without.splitlines(keepends=True)[:-1])


class TestNames:
    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            # as real wheels have it
            (Declared("Apache-2.0", "", (f"{OSI}Apache Software License",)), "Apache-2.0"),
            (Declared("LicenseRef-NVIDIA-Proprietary"), "LicenseRef-NVIDIA-Proprietary"),
            (Declared("apache-2.0 or bsd-2-clause"), "Apache-2.0 OR BSD-2-Clause"),
            (Declared(text="Apache License 2.0"), "Apache-2.0"),
            (Declared(text="Apache License, Version 2.0"), "Apache-2.0"),
            (Declared(text="BSD 3-Clause", classifiers=(f"{OSI}BSD License",)), "BSD-3-Clause"),
            (Declared(text="3-Clause BSD License"), "BSD-3-Clause"),
            (Declared(classifiers=(f"{OSI}MIT License",)), "MIT"),
            (Declared(text="MPL-2.0", classifiers=(f"{OSI}Mozilla Public License 2.0 (MPL 2.0)",)), "MPL-2.0"),
            # what may be several is none of them
            (Declared(text="BSD", classifiers=(f"{OSI}BSD License",)), "BSD"),
            (Declared(classifiers=(f"{OSI}BSD License",)), "BSD License"),
            (Declared(text="OSI Approved :: Apache Software License"), "OSI Approved :: Apache Software License"),
            (Declared(text="NVIDIA Proprietary Software"), "NVIDIA Proprietary Software"),
            (Declared(classifiers=(f"{OSI}Apache Software License", f"{OSI}B")), "Apache Software License, B"),
            (Declared(classifiers=("License :: Other/Proprietary License",)), "Other/Proprietary License"),
            # a licence's whole text is not a name
            (Declared(text="Copyright (c) 2001\n  All rights.", classifiers=(f"{OSI}BSD License",)), "BSD License"),
            (Declared(text="Copyright (c) 2001\n  All rights reserved."), None),
            (Declared(text="UNKNOWN"), None),
            (Declared(classifiers=("License :: OSI Approved",)), None),
            (Declared(), None),
            (None, None),
            # nor is anything else that it holds taken for one
            (Declared("mine", "MIT"), "mine"),
            (Declared(text="MIT\x1b[31m\u202e"), "MIT [31m"),
        ],
    )  # fmt: skip
    def test_of_what_is_declared(self, declared: Declared | None, said: str | None) -> None:
        assert name(declared) == said

    @given(
        st.builds(
            Declared,
            st.one_of(st.just(""), st.text(max_size=600)),
            st.text(max_size=600),
            st.tuples(st.text(max_size=200).map(lambda text: f"License :: {text}")),
        )
    )
    def test_it_is_a_short_line_whatever_was_declared(self, declared: Declared) -> None:
        said = name(declared)
        assert said is None or (said and said.isprintable() and len(said) <= 500)

    @pytest.mark.parametrize("text", ["(" * 300, "MIT AND " * 60 + "MIT", "MIT OR", "x" * 600])
    def test_what_is_no_expression(self, text: str) -> None:
        said = name(Declared(text))
        assert said is not None
        assert len(said) <= 500

    def test_known_spellings_are_of_one_licence_and_known_to_spdx(self) -> None:
        meant: dict[str, set[str]] = {}
        for said, others in KNOWN.items():
            for one in (said, *others):
                meant.setdefault(licences._key(one), set()).add(said)
        assert {key: found for key, found in meant.items() if len(found) > 1} == {}
        for said in KNOWN:
            assert canonicalize_license_expression(said) == said


class TestLocked:
    @pytest.fixture(name="licensed")
    def _licensed(self, kgen_alone: Kgen, index: Index) -> Kgen:
        """An index where one of numpy's environment has a licence."""
        rich = index.wheelhouse.wheels("rich")[0]
        index.wheelhouse.remove("rich", rich.version)
        index.wheelhouse.put(dataclasses.replace(rich, headers=("License: MIT License",)))
        assert kgen_alone(*LOCK, "numpy").status == 0
        return kgen_alone

    def noted(self, kgen: Kgen) -> dict[str, str]:
        data = tomli.loads((kgen.folder / NUMPY).read_text(encoding="utf-8"))
        found: dict[str, str] = data["tool"]["kgen"].get("licences", {})
        return found

    def test_a_lock_has_what_is_declared(self, licensed: Kgen) -> None:
        assert self.noted(licensed) == {"rich": "MIT"}
        assert licensed("check").status == 0

    def test_as_data(self, licensed: Kgen) -> None:
        (row,) = json.loads(licensed(*LOCK, "numpy", "--dry-run", "--json").stdout)["environments"]
        assert row["licences"] == {"rich": "MIT"}

    def test_again_it_is_the_same_and_nothing_is_asked_for(self, licensed: Kgen, index: Index) -> None:
        before = tree(licensed.folder / "locks")
        index.behaviour.asked.clear()
        assert licensed(*LOCK, "numpy").status == 0
        assert tree(licensed.folder / "locks") == before
        assert [path for path in index.behaviour.asked if path.endswith(".whl")] == []

    def test_another_cache_gives_the_same(self, licensed: Kgen, tmp_path: Path) -> None:
        before = tree(licensed.folder / "locks")
        shutil.rmtree(licensed.folder / "locks")
        assert licensed(*LOCK, "numpy", KGEN_CACHE_DIR=str(tmp_path / "another")).status == 0
        assert tree(licensed.folder / "locks") == before

    def test_a_lock_made_before_is_in_order(self, licensed: Kgen) -> None:
        path = licensed.folder / NUMPY
        path.write_text(as_before(path.read_text(encoding="utf-8")), encoding="utf-8")
        assert lockfiles.read(path).licences == {}
        assert licensed("check").status == 0
        assert json.loads(licensed("export", "cyclonedx", "numpy").stdout)["components"]

    def test_several_in_one_package_and_names_with_a_dash(self, kgen_alone: Kgen, index: Index) -> None:
        spoken = ("License-Expression: MIT AND (Apache-2.0 OR BSD-2-Clause)", "License: no")
        index.wheelhouse.put(Wheel(name="a-b", version="1.0", headers=spoken))
        assert kgen_alone(*LOCK, "numpy", "--dependency", "a-b").status == 0
        assert self.noted(kgen_alone) == {"a-b": "MIT AND (Apache-2.0 OR BSD-2-Clause)"}
        assert kgen_alone("check").status == 0
        bill = kgen_alone("export", "cyclonedx", "numpy").stdout
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None


class TestDifference:
    @pytest.fixture(name="changed")
    def _changed(self, kgen_alone: Kgen, index: Index) -> Kgen:
        """Two revisions: a package is under another licence, and another is new."""
        house = index.wheelhouse
        house.put(Wheel(name="thing", version="1.0", headers=("License: MIT",)))
        assert kgen_alone(*LOCK, "numpy", "--dependency", "thing").status == 0
        git(kgen_alone.folder, "init", "-q")
        git(kgen_alone.folder, "add", ".")
        git(kgen_alone.folder, "commit", "-qm", "one")
        house.put(Wheel(name="thing", version="2.0", headers=("License: a|b <i>*Licence*</i>",), requires=("more",)))
        house.put(Wheel(name="more", version="1.0", headers=("License-Expression: GPL-3.0-only",)))
        assert kgen_alone(*LOCK, "numpy", "--dependency", "thing", "--upgrade").status == 0
        return kgen_alone

    def test_in_words(self, changed: Kgen) -> None:
        assert changed("diff", "HEAD").stdout == (
            "numpy-cpu (linux-64): changed\n"
            "  more 1.0 added\n"
            "  thing 1.0 -> 2.0 (up)\n"
            "  licence of thing: MIT -> a|b <i>*Licence*</i>\n"
            "  a licence that nothing had before: GPL-3.0-only (more)\n"
            "  download [SIZE] -> [SIZE]\n"
        )

    def test_for_a_pull_request(self, changed: Kgen) -> None:
        text = changed("diff", "HEAD", "--markdown").stdout
        assert r"| licence of thing | MIT | a\|b \<i\>\*Licence\*\</i\> | changed |" in text
        assert "\n\nA licence that nothing had before: GPL-3.0-only (more).\n\nDownload " in text

    def test_as_data(self, changed: Kgen) -> None:
        (one,) = json.loads(changed("diff", "HEAD", "--json").stdout)["locks"]
        assert one["licences"] == {
            "changed": [{"package": "thing", "before": "MIT", "after": "a|b <i>*Licence*</i>"}],
            "new": {"GPL-3.0-only": ["more"]},
        }

    def test_of_a_lock_made_before_nothing_is_said(self, changed: Kgen) -> None:
        path = changed.folder / NUMPY
        new = path.read_text(encoding="utf-8")
        path.write_text(as_before(new), encoding="utf-8")
        assert "licence" not in changed("diff", "HEAD").stdout
        git(changed.folder, "commit", "-qam", "two")
        path.write_text(new, encoding="utf-8")
        assert changed("diff", "HEAD").stdout == (
            "numpy-cpu (linux-64): changed\n  the same versions; something else in the lock is not\n"
        )

    def test_what_conda_has(self, conda: Kgen, served: ChannelServer) -> None:
        ask = (
            "lock", "--conda", "--python", MINOR, "--platform", "linux-64", "jax", "--cuda", "12",
            "--channel", served.url,
        )  # fmt: skip
        assert conda(*ask).status == 0
        git(conda.folder, "init", "-q")
        git(conda.folder, "add", ".")
        git(conda.folder, "commit", "-qm", "one")
        assert conda("diff", "HEAD").stdout == "no lock has changed\n"
        path = conda.folder / "locks/jax-cuda12/conda-records.json"
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        (row,) = [one for one in data["platforms"]["linux-64"]["packages"] if one["name"] == "jax"]
        version, row["version"], row["license"] = row["version"], "99", "Apache-2.0"
        path.write_text(json.dumps(data), encoding="utf-8")
        assert conda("diff", "HEAD").stdout == (
            f"jax-cuda12-conda (linux-64): changed\n  jax {version} -> 99 (up)\n  licence of jax: MIT -> Apache-2.0\n"
        )


class TestExported:
    def bill(self, **declared: str) -> dict[str, Any]:
        files = tuple(
            LockedFile(name=one, version="1.0", filename=f"{one}.whl", url=None, sha256="a" * 64, size=1)
            for one in ("keras", *declared)
        )
        lock = Lockfile(
            path=Path("pylock.linux-64.toml"),
            form=FORMAT,
            digest="0" * 64,
            environment="jax-cpu",
            backends=("jax",),
            accelerator="cpu",
            python="3.12",
            platform="linux-64",
            runtime=None,
            cudnn=None,
            driver=None,
            packages={},
            libraries={},
            variables={},
            files=files,
            licences=declared,
        )
        text = cyclonedx.render([lock])
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        return {one["name"]: one.get("licenses") for one in json.loads(text)["components"]}

    def test_by_identifier_by_expression_or_by_name(self) -> None:
        said = {"acknowledgement": "declared"}
        assert self.bill(a="MIT", b="MIT AND Zlib", c="NVIDIA Proprietary Software", d="LicenseRef-X") == {
            "keras": None,
            "a": [{"license": {"id": "MIT", **said}}],
            "b": [{"expression": "MIT AND Zlib", **said}],
            "c": [{"license": {"name": "NVIDIA Proprietary Software", **said}}],
            "d": [{"expression": "LicenseRef-X", **said}],
        }

    def test_every_known_one_is_valid(self) -> None:
        found = self.bill(**{f"p{position}": said for position, said in enumerate(KNOWN)})
        assert {one[0]["license"]["id"] for one in found.values() if one} == set(KNOWN)

    def test_what_is_no_licence_of_anybodys_is_a_name(self) -> None:
        (said,) = self.bill(a='"><b>')["a"]
        assert said["license"]["name"] == '"><b>'


def test_the_report_has_them(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="thing", version="1.0", headers=("License: <b>mine</b>",)))
    assert kgen_alone(*LOCK, "numpy", "--dependency", "thing").status == 0
    assert kgen_alone("report").status == 0
    page = (kgen_alone.folder / "report.html").read_text(encoding="utf-8")
    count = len(tomli.loads((kgen_alone.folder / NUMPY).read_text(encoding="utf-8"))["packages"]) - 1
    assert "<li>&lt;b&gt;mine&lt;/b&gt; (1)</li>" in page
    assert f"<summary>1 licence; {count} packages without</summary>" in page
    row = r'<th scope="row">thing</th><td [^>]*>1.0</td><td [^>]*>[^<]*</td><td [^>]*>&lt;b&gt;mine&lt;/b&gt;</td>'
    assert re.search(row, page)
