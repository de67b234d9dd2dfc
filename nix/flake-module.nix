# A module of flake-parts: `imports = [ kgen.flakeModules.default ]; kgen.locks = ./locks;` gives each system what mkOutputs
# gives it. Its options are mkOutputs' arguments; the packages are those that flake-parts gives each system.
{ mkOutputs }:
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  settings = config.kgen;
  option =
    type: default: description:
    mkOption { inherit type default description; };
in
{
  options.kgen = {
    locks = option (types.nullOr types.path) null "The folder of kgen's locks; null for no outputs.";
    project =
      option (types.nullOr types.path) (if settings.locks == null then null else dirOf settings.locks)
        "The folder of the project that is installed editable in its shells; null for none.";
    index =
      option (types.nullOr (types.either types.str (types.listOf types.str))) null
        "Simple repositories that have the files of portable locks; null for where nixpkgs looks.";
    netrc = option types.bool false "Whether Nix's own fetcher asks the lock's URLs, with the logins of `netrc-file`.";
    default = option (types.nullOr types.str) null "The environment of the shell that has no name.";
    preferred = option (types.listOf types.str) [ ] "Of several environments of a backend, the one that its name stands for.";
  };

  config = mkIf (settings.locks != null) {
    perSystem =
      { pkgs, system, ... }:
      let
        made = mkOutputs {
          inherit (settings)
            default
            index
            locks
            netrc
            preferred
            project
            ;
          nixpkgs.legacyPackages.${system} = pkgs;
        };
        of = output: made.${output}.${system} or { };
      in
      {
        devShells = of "devShells";
        packages = of "packages";
        checks = of "checks";
        legacyPackages = of "legacyPackages";
      };
  };
}
