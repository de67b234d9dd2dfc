# mkKerasShell :: { pkgs, lock, index ? …, netrc ? false, project ? null, packages ? [ ], env ? { }, shellHook ? "" } -> a development shell
#
# Puts the environment's Python first and sets what the hook of the lock sets, by that very hook. `packages`, `env` and
# `shellHook` are as in mkShell. `project` is the folder of a Python project that the lock has been made for: it is
# installed editable, so that its programs are there, and its code is that of the folder that the shell is entered in.
{ chooseLock, mkVenv }:
{
  pkgs,
  lock,
  index ? null,
  netrc ? false,
  project ? null,
  packages ? [ ],
  env ? { },
  shellHook ? "",
}:
let
  locked = chooseLock {
    inherit lock;
    inherit (pkgs.stdenv.hostPlatform) system;
  };
  venv = mkVenv {
    inherit pkgs index netrc;
    lock = locked;
  };
  activate =
    if builtins.pathExists locked.activate then
      builtins.path {
        name = "kgen-activate.sh";
        path = locked.activate;
      }
    else
      throw "kgen: ${toString locked.activate} is not there; `kgen lock` writes it, and a flake sees it once it is `git add`ed";
  pyproject = project + "/pyproject.toml";
  # without a table `build-system` a project is not a package; a lock of before it was one has nothing to build it with
  isPackage =
    project != null
    && locked.buildsProject
    && builtins.pathExists pyproject
    && builtins.length (builtins.split "(^|\n)\\[build-system]" (builtins.readFile pyproject)) > 1;
  sources = builtins.path {
    name = "project";
    path = project;
    # what no package is made of, so that it builds nothing again
    filter =
      path: _:
      builtins.match "locks|flake\\.(nix|lock)|result.*|\\.git|\\.kgen|\\.venv|__pycache__" (baseNameOf path) == null;
  };
  editable = venv.editable sources;
  # where the project is in the repository whose flake it is of; empty where that is its root
  within =
    let
      found = builtins.match "${builtins.storeDir}/[^/]+(/.+)" (toString project);
      name = if found == null then "" else builtins.head found;
    in
    "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] name}'";
  isProject = folder: ''[ -e ${folder}/pyproject.toml -a -d ${folder}/locks/${locked.environment} ]'';
  # The folder somebody works in is where pyproject.toml and the locks are, here or above, or where the repository has them
  # of which this is a folder. Elsewhere the store's copy is shown, and that is said.
  showProject = ''
    KGEN_PROJECT=$PWD
    while [ -n "$KGEN_PROJECT" ] && ! ${isProject ''"$KGEN_PROJECT"''}; do
      if ${isProject ''"$KGEN_PROJECT"${within}''}; then
        KGEN_PROJECT=$KGEN_PROJECT${within}
        break
      fi
      KGEN_PROJECT=''${KGEN_PROJECT%/*}
    done
    if [ -z "$KGEN_PROJECT" ]; then
      KGEN_PROJECT=${sources}
      echo >&2 "kgen: this is not the project's folder: its code is that of $KGEN_PROJECT, and edits are not seen"
    fi
    export KGEN_PROJECT KGEN_PROJECT_SITE=${editable}/site
  '';
  # said where somebody who enters the shell sees it, and data of the lock only as it was looked at
  warned =
    if locked.places == [ ] then
      shell: shell
    else
      builtins.trace "kgen: ${locked.environment} asks for ${builtins.concatStringsSep ", " locked.places} in a folder of its own, and a store has none that can be written to: Keras's settings are those of this account here";
in
warned (pkgs.mkShellNoCC {
  name = locked.environment;
  packages = (if isPackage then [ editable ] else [ ]) ++ [ venv ] ++ packages;
  inherit env;
  # both would lead this Python into another one's libraries
  shellHook = ''
    unset PYTHONPATH PYTHONHOME
    . ${activate}
  ''
  + (if isPackage then showProject else "")
  + shellHook;
  passthru = {
    inherit venv;
    lock = locked;
  };
})
