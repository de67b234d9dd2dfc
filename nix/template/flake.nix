# Made by kgen, and yours from now on: `kgen lock` writes it only where there is none.
#
# A shell for each environment in locks/: `nix develop .#jax-cpu`, or `nix develop .#jax` where one environment of JAX is
# locked. Nix sees only what git tracks: `git add flake.nix locks`.
{
  description = "Keras environments locked by kgen";

  inputs = {
    # looked up in Nix's registry, which `nix registry add kgen <where kgen's flake is>` tells about it
    kgen.url = "flake:kgen";
    kgen.inputs.nixpkgs.follows = "nixpkgs";
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  };

  outputs =
    { kgen, nixpkgs, ... }:
    kgen.lib.mkOutputs {
      inherit nixpkgs;
      locks = ./locks;
      # of several environments of one backend, those that its name stands for: preferred = [ "jax-cuda12" ];
      # where portable locks find their files, if not where nixpkgs looks: index = [ "https://…/simple" ];
    };
}
