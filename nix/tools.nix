# What a clone needs beside its locked packages, and how the launcher `loc` is told of it.
{ lib, pkgs }:
let
  inherit (pkgs.stdenv.hostPlatform) isLinux;
in
rec {
  # These have a version in golden.toml: `nix flake check` compares (nix/golden.nix).
  golden = {
    inherit (pkgs) process-compose uv;
    node = pkgs.nodejs_24;
    python = pkgs.python311;
  };

  onPath = [
    golden.python
    golden.uv
    golden.node
    pkgs.git
  ]
  ++ lib.optionals isLinux [ pkgs.bubblewrap ];

  environment = {
    LOC_PYTHON = lib.getExe' golden.python "python3.11";
    LOC_UV = lib.getExe golden.uv;
    UV_PYTHON_DOWNLOADS = "never";
    # Every library that a wheel of the locks expects from its host, glibc aside. tests/nix/test_libraries.py
    # compares. Only `loc` reads this: LD_LIBRARY_PATH in a shell would break the user's own programs.
    LOC_LIBRARY_PATH = lib.optionalString isLinux (
      lib.makeLibraryPath [
        pkgs.stdenv.cc.cc.lib
        pkgs.zlib
      ]
    );
  };
}
