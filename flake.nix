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
      ];

      # A value of nixpkgs, or our own advice in place of its error.
      demand =
        value: advice:
        let
          result = builtins.tryEval value;
        in
        if result.success then result.value else throw advice;

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

      inherit (builtins.fromTOML (builtins.readFile (tracked "fork.toml"))) name;

      # The files that git tracks, also of a `path:` flake.
      template = import (tracked "nix/template.nix") { root = ./.; };

      # The wheels of uv and Node for each system; `loc lock` writes it.
      archives = builtins.fromJSON (builtins.readFile (tracked "locks/tools.json"));

      # nix/NAME.nix for every system, each with what the others make.
      forEachSystem =
        output:
        lib.genAttrs systems (
          system:
          let
            pkgs = demand nixpkgs.legacyPackages.${system} ''
              This nixpkgs refuses ${system}.
              why: nixpkgs drops a system some day; since 26.11, Macs with an Intel processor (x86_64-darwin).
              fix: remove ${system} from `systems` in flake.nix, or move inputs.nixpkgs.url back to a release that has it.
                   nixpkgs itself says more: nix eval --inputs-from . nixpkgs#hello.name --system ${system}'';
            load = name: import (tracked "nix/${name}.nix");
            wheel = (load "archive" { inherit lib pkgs; }).python;
            tools = load "tools" {
              inherit
                archives
                demand
                golden
                lib
                pkgs
                wheel
                ;
            };
            programs = load "programs" {
              inherit
                lib
                name
                pkgs
                tools
                ;
              inherit (environments.packages) environments;
              source = template.path;
            };
            image = load "image" {
              inherit
                lib
                name
                pkgs
                programs
                tools
                ;
            };
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
            packages =
              programs.packages
              // environments.packages
              // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux { inherit image; };
            apps = programs.apps;
            devShells = {
              default = load "shell" { inherit pkgs programs tools; };
              trino = load "shell" {
                inherit pkgs programs;
                tools = tools.trino;
              };
            };
            checks =
              environments.checks
              // load "checks" {
                inherit
                  golden
                  lib
                  pkgs
                  tools
                  ;
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
      templates.default = template;
    };
}
