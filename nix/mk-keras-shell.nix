# mkKerasShell :: { pkgs, lock, index ? …, packages ? [ ], env ? { }, shellHook ? "" } -> a development shell
#
# Puts the environment's Python first and sets what the hook of the lock sets, by that very hook. `packages`, `env` and
# `shellHook` are as in mkShell.
{ chooseLock, mkVenv }:
{
  pkgs,
  lock,
  index ? null,
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
    inherit pkgs index;
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
  # said where somebody who enters the shell sees it, and data of the lock only as it was looked at
  warned =
    if locked.places == [ ] then
      shell: shell
    else
      builtins.trace "kgen: ${locked.environment} asks for ${builtins.concatStringsSep ", " locked.places} in a folder of its own, and a store has none that can be written to: Keras's settings are those of this account here";
in
warned (pkgs.mkShellNoCC {
  name = locked.environment;
  packages = [ venv ] ++ packages;
  inherit env;
  # both would lead this Python into another one's libraries
  shellHook = ''
    unset PYTHONPATH PYTHONHOME
    . ${activate}
  ''
  + shellHook;
  passthru = {
    inherit venv;
    lock = locked;
  };
})
