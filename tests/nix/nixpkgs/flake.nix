{
  description = "A stand-in for nixpkgs: the names that our flake uses, over programs of this machine";

  outputs =
    _:
    let
      lib = import ./lib.nix;
      host = builtins.fromJSON (builtins.readFile ./host.json);
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
        "x86_64-darwin"
      ];
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs systems (
        system:
        if builtins.elem system host.refused then
          throw "Nixpkgs 26.11 has dropped support for ${system}."
        else
          import ./pkgs.nix { inherit host lib system; }
      );
    };
}
