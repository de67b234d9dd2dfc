{
  description = "kgen: one reproducible, GPU-proven Keras environment per backend";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      kgen = import ./nix;
      systems = builtins.attrValues kgen.systems;
      eachSystem =
        make:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = make nixpkgs.legacyPackages.${name};
          }) systems
        );
      # kgen's own reference locks; CUDA 12 is what its settings ask for
      locked = kgen.mkOutputs {
        inherit nixpkgs;
        locks = ./locks;
        default = "jax-cuda12";
        preferred = [
          "jax-cuda12"
          "torch-cuda12"
        ];
      };
      application = pkgs: kgen.mkKgen { inherit pkgs; };
    in
    {
      lib = kgen;

      inherit (locked) checks devShells legacyPackages;

      packages = eachSystem (
        pkgs:
        (locked.packages.${pkgs.stdenv.hostPlatform.system} or { })
        // {
          kgen = application pkgs;
          default = application pkgs;
        }
      );

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      flakeModules.default = import ./nix/flake-module.nix { inherit (kgen) mkOutputs; };

      overlays.default = final: _: {
        kgen = application final;
        mkKerasShell = arguments: kgen.mkKerasShell ({ pkgs = final; } // arguments);
      };

      templates.default = {
        path = ./nix/template;
        description = "A Keras project: a shell for each environment that `kgen lock` has locked";
        welcomeText = "Lock your environments with `kgen lock`, `git add flake.nix locks`, then `nix develop`.";
      };
    };
}
