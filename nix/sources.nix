# What is not written in Nix: kgen's code that runs in builds, and the facts. Beside these files where a project carries
# both, else in the repository.
let
  carried = builtins.pathExists ./package;
in
{
  package = if carried then ./package else ../generator/kgen;
  matrix = if carried then ./package/_data/matrix else ../matrix;
}
