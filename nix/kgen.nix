# The command `kgen` as a package, made of this repository's own lock (`kgen-lock.json`, which `python -m tests.lock_nix`
# writes): every wheel that it runs on, uv among them, and those that build it. Of nixpkgs it takes a CPython.
{ pkgs, installed }:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    filter
    fromJSON
    fromTOML
    head
    listToAttrs
    map
    match
    readFile
    tryEval
    ;
  inherit (pkgs.stdenv.hostPlatform) system;

  project = (fromTOML (readFile ../pyproject.toml)).project;
  version = elemAt (match ''.*__version__ = "([^"]+)".*'' (readFile ../generator/kgen/__init__.py)) 0;

  locked = fromJSON (readFile ./kgen-lock.json);
  platforms = import ./systems.nix;
  platform = head (filter (name: platforms.${name} == system) (attrNames platforms));
  minors = locked.targets.${platform};

  # nixpkgs' own choice if it is locked for, else the newest that it has
  attribute = minor: "python" + builtins.replaceStrings [ "." ] [ "" ] minor;
  there =
    filter (minor: pkgs ? ${attribute minor} && (tryEval pkgs.${attribute minor}.interpreter).success) (
      builtins.sort (a: b: builtins.compareVersions a b > 0) (attrNames minors)
    );
  python =
    if minors ? ${pkgs.python3.pythonVersion} then
      pkgs.python3
    else if there != [ ] then
      pkgs.${attribute (head there)}
    else
      throw "kgen: it is locked for Python ${concatStringsSep ", " (attrNames minors)}, and this nixpkgs has none of them";

  filesOf = kind: map (filename: locked.files.${filename} // { inherit filename; url = null; }) minors.${python.pythonVersion}.${kind};

  source = builtins.path {
    name = "kgen-source";
    path = ../.;
    # what `kgen` is made of and no more, so that a change of a test or a lock does not build it again
    filter =
      path: _:
      let
        inside = builtins.substring (builtins.stringLength (toString ../.) + 1) (-1) path;
      in
      match "(generator|matrix|templates|nix)(/.*)?|docs|docs/man(/.*)?|pyproject.toml|README.md|LICENSE" inside != null
      && match "(.*/)?__pycache__(/.*)?" inside == null;
  };

  made = installed {
    inherit pkgs python;
    lock = {
      environment = "kgen";
      python = python.pythonVersion;
      accelerator = "cpu";
      variables = { };
      buildsProject = false;
      wheels = filesOf "run";
      build = filesOf "build";
      sources = [ ];
    };
  };
  venv = made.withProject {
    inherit (project) name;
    inherit version source;
  };
in
# of the environment its program and its manual, and no Python that would come before another on PATH
pkgs.runCommand "keras-kgen-${version}" { } ''
  mkdir -p "$out/bin"
  ln -s ${venv}/bin/kgen "$out/bin/kgen"
  ln -s ${venv}/share "$out/share"
''
// {
  pname = project.name;
  inherit version python;
  meta = {
    inherit (project) description;
    mainProgram = "kgen";
  };
}
