"""Locks of conda packages: `conda-records.json`, and what is made of it for conda, mamba, micromamba and conda-lock."""

from __future__ import annotations

from kgen.model.format import Format, PackageScripts

RECORDS = "conda-records.json"
CONDA_LOCK = "conda-lock.yml"
SOURCE = "environment.yml"
VIRTUALS = "virtual-packages.yml"

_SCRIPTS = "etc/conda"
_VARIABLES = "share/kgen/variables.py"

FORMAT = Format(
    name="conda",
    package=__name__,
    lock=r"conda-records\.json",
    files=(RECORDS, CONDA_LOCK, SOURCE, VIRTUALS),
    title="conda",
    purpose="write conda-lock.yml beside the pylock",
    brings_python=True,
    scripts=PackageScripts(
        hooks=_SCRIPTS,
        places={
            "scripts": _SCRIPTS,
            "meta": "conda-meta",
            "python": "bin/python",
            "variables": _VARIABLES,
        },
        programs={_VARIABLES: "activation/variables.py.j2"},
    ),
    prefix_variable="CONDA_PREFIX",
    metadata="conda-meta/*.json",
    listed="conda",
    extra="conda",
)
