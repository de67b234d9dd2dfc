# kgen's (and conda's) name of a platform -> Nix's name of the system. There is no Nix on Windows.
{
  linux-64 = "x86_64-linux";
  linux-aarch64 = "aarch64-linux";
  osx-arm64 = "aarch64-darwin";
}
