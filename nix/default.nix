# What the flake offers as `lib`. Needs `pkgs` only where a function says so, and nothing else of nixpkgs.
let
  systems = import ./systems.nix;
  readLock = import ./read-lock.nix { inherit systems; };
  locksIn = import ./locks-in.nix { inherit systems; };
  chooseLock = import ./choose-lock.nix { inherit locksIn readLock systems; };
  pythonFor = import ./python-for.nix;
  fetchWheel = import ./fetch-wheel.nix;
  mkVenv = import ./mk-venv.nix { inherit chooseLock fetchWheel pythonFor; };
  mkKerasShell = import ./mk-keras-shell.nix { inherit chooseLock mkVenv; };
  mkOutputs = import ./mk-outputs.nix {
    inherit
      locksIn
      mkKerasShell
      mkVenv
      readLock
      systems
      ;
  };
in
{
  inherit
    fetchWheel
    locksIn
    mkKerasShell
    mkOutputs
    mkVenv
    readLock
    systems
    ;
}
