# The command `kgen` as a package, from nixpkgs' Python packages. What it needs stands in pyproject.toml and is read there.
#
# Where nixpkgs is older than what kgen needs: a pure-Python wheel that is pinned here takes the place of the package (see
# `newer`). uv is nixpkgs' program, as a wheel's would not run on NixOS; kgen says so itself where it is too old.
{ pkgs }:
let
  inherit (builtins)
    compareVersions
    elemAt
    filter
    fromTOML
    match
    readFile
    ;

  python = pkgs.python3;
  project = (fromTOML (readFile ../pyproject.toml)).project;
  version = elemAt (match ''.*__version__ = "([^"]+)".*'' (readFile ../generator/kgen/__init__.py)) 0;

  newer.packaging = rec {
    name = "packaging";
    version = "26.3";
    filename = "packaging-${version}-py3-none-any.whl";
    sha256 = "d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c";
    size = 129956;
    url = null;
  };
  newer.typer = rec {
    name = "typer";
    version = "0.28.0";
    filename = "typer-${version}-py3-none-any.whl";
    sha256 = "afd18929180b706c5e9a239f53c3c8136903553c0c2d460598bbaa924191d4ab";
    size = 123253;
    url = null;
    requires = [
      "annotated-doc"
      "rich"
      "shellingham"
    ];
  };

  # "packaging>=26.3" -> its name and floor
  requirement =
    text:
    let
      parts = match "([a-z0-9-]+)>=([0-9.]+)(,.*)?" text;
    in
    {
      name = elemAt parts 0;
      floor = elemAt parts 1;
    };
  requirements = map requirement project.dependencies;
  libraries = filter (one: one.name != "uv") requirements;

  fromWheel =
    wheel:
    python.pkgs.buildPythonPackage {
      pname = wheel.name;
      inherit (wheel) version;
      format = "wheel";
      src = import ./fetch-file.nix {
        inherit pkgs python;
        file = wheel;
      };
      dependencies = map (name: python.pkgs.${name}) (wheel.requires or [ ]);
    };

  provide =
    { name, floor }:
    let
      package = python.pkgs.${name};
    in
    if compareVersions package.version floor >= 0 then
      package
    else if newer ? ${name} then
      fromWheel newer.${name}
    else
      throw "kgen needs ${name} >=${floor}, and this nixpkgs has ${package.version}: `nix flake update nixpkgs`";
in
python.pkgs.buildPythonApplication {
  pname = project.name;
  inherit version;
  pyproject = true;
  src = builtins.path {
    name = "kgen-source";
    path = ../.;
    # what `kgen` is made of and no more, so that a change of a test or a lock does not build it again
    filter =
      path: _:
      let
        inside = builtins.substring (builtins.stringLength (toString ../.) + 1) (-1) path;
      in
      match "(generator|matrix|templates)(/.*)?|pyproject.toml|README.md|LICENSE" inside != null
      && match "(.*/)?__pycache__(/.*)?" inside == null;
  };
  build-system = [ python.pkgs.hatchling ];
  dependencies = map provide libraries;
  pythonRemoveDeps = [ "uv" ];
  makeWrapperArgs = [
    "--prefix"
    "PATH"
    ":"
    "${pkgs.uv}/bin"
  ];
  pythonImportsCheck = [ "kgen" ];
  meta = {
    inherit (project) description;
    mainProgram = "kgen";
  };
}
