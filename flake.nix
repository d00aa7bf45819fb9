{
  description = "proto_loc: a local analytics platform without Docker, on pinned versions";

  # The only input. flake.lock pins its revision; docs/nix.md says how to move it.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;

      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
        "x86_64-darwin"
      ];

      # Nix sees only what git tracks. Without this, it names a path in the store that nobody has heard of.
      tracked =
        path:
        if builtins.pathExists (./. + "/${path}") then
          ./. + "/${path}"
        else
          throw ''
            The flake needs ${path}, and that is not among the files that git tracks.
            why: Nix reads of a git repository only what is tracked or staged.
            fix: git add ${path}'';

      # Without its lock, Nix would take the newest nixpkgs for the pinned one.
      golden = builtins.seq (tracked "flake.lock") (
        builtins.fromTOML (builtins.readFile (tracked "golden.toml"))
      );

      # nix/NAME.nix for every system, each with what the others make.
      forEachSystem =
        output:
        lib.genAttrs systems (
          system:
          let
            pkgs = nixpkgs.legacyPackages.${system};
            load = name: import (tracked "nix/${name}.nix");
            tools = load "tools" { inherit lib pkgs; };
            programs = load "programs" { inherit lib pkgs tools; };
            environments = load "environments" {
              inherit
                golden
                lib
                pkgs
                tools
                tracked
                ;
            };
          in
          {
            packages = programs.packages // environments.packages;
            apps = programs.apps;
            devShells.default = load "shell" { inherit pkgs programs tools; };
            checks = environments.checks // load "checks" {
              inherit
                golden
                lib
                pkgs
                tools
                ;
              drift = load "golden" { inherit lib; };
              sources = map tracked [
                "flake.nix"
                "nix"
              ];
            };
            formatter = pkgs.nixfmt-tree;
          }
          .${output}
        );
    in
    {
      # One by one, so that Nix can read their names, and copy the template, without nixpkgs.
      packages = forEachSystem "packages";
      apps = forEachSystem "apps";
      devShells = forEachSystem "devShells";
      checks = forEachSystem "checks";
      formatter = forEachSystem "formatter";
      templates.default = import (tracked "nix/template.nix") { root = ./.; };
    };
}
