{
  description = "As much of nixpkgs as kgen's flake uses, made of what this machine has; for tests only";

  outputs = _: {
    legacyPackages =
      let
        machine = builtins.fromJSON (builtins.readFile ./machine.json);
        package = system: {
          name = system;
          value = import ./packages.nix { inherit machine system; };
        };
      in
      builtins.listToAttrs (map package machine.systems);
  };
}
