# What the flake offers as `lib`. Needs `pkgs` only where a function says so, and nothing else of nixpkgs.
let
  systems = import ./systems.nix;
  matrix = import ./matrix.nix;
  readLock = import ./read-lock.nix { inherit matrix systems; };
  locksIn = import ./locks-in.nix { inherit systems; };
  chooseLock = import ./choose-lock.nix { inherit locksIn readLock systems; };
  pythonFor = import ./python-for.nix;
  fetchFile = import ./fetch-file.nix;
  # a file is a wheel for most who ask
  fetchWheel = { wheel, ... }@arguments: fetchFile (removeAttrs arguments [ "wheel" ] // { file = wheel; });
  installed = import ./installed.nix { inherit fetchFile pythonFor; };
  mkVenv = import ./mk-venv.nix { inherit chooseLock installed; };
  mkCheck = import ./mk-check.nix { inherit matrix; };
  mkImage = import ./mk-image.nix;
  mkKerasShell = import ./mk-keras-shell.nix { inherit chooseLock mkVenv; };
  mkOutputs = import ./mk-outputs.nix {
    inherit
      locksIn
      matrix
      mkCheck
      mkImage
      mkKerasShell
      mkVenv
      pythonFor
      readLock
      systems
      ;
  };
in
{
  inherit
    fetchWheel
    locksIn
    mkImage
    mkKerasShell
    mkOutputs
    mkVenv
    readLock
    systems
    ;
}
# a project that carries these files has no kgen to make of them
// (
  if builtins.pathExists ./kgen.nix then
    { mkKgen = { pkgs }: import ./kgen.nix { inherit pkgs installed; }; }
  else
    { }
)
