# Made by kgen, and yours from now on: `kgen lock` writes it only where there is none.
# The library that it imports is part of locks/, and `kgen lock` keeps it up to date.
#
# A shell for each environment in locks/: `nix develop .#jax-cpu`, or `nix develop .#jax` where one environment of JAX is
# locked. Nix sees only what git tracks: `git add flake.nix locks`.
{
  description = "Keras environments locked by kgen";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      kgen =
        if builtins.pathExists ./locks/.nix then
          import ./locks/.nix
        else
          throw "kgen: there is no locks/.nix; `kgen lock --nix` writes it, and a flake sees it once it is `git add`ed";
    in
    kgen.mkOutputs {
      inherit nixpkgs;
      locks = ./locks;
      # of several environments of one backend, those that its name stands for: preferred = [ "jax-cuda12" ];
      # where portable locks find their files, if not where nixpkgs looks: index = [ "https://…/simple" ];
    };
}
