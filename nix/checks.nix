# `nix flake check`: nixpkgs against golden.toml, the logic of that comparison, the form of what is written in Nix.
{
  drift,
  golden,
  lib,
  pkgs,
  sources,
  tools,
}:
let
  files = "$(find ${lib.concatMapStringsSep " " (source: "${source}") sources} -name '*.nix')";
  pass =
    name: wrong: if wrong == [ ] then pkgs.runCommand name { } "touch $out" else refuse name wrong;
  refuse = name: wrong: throw "check ${name}: ${lib.concatStringsSep "; " wrong}";

  # What drift says of a Nix shell that has everything at the least golden version, but for these.
  found =
    versions:
    drift
      {
        nixpkgs.uv-minimum = "0.9";
        tools = {
          node = "24";
          process-compose.minimum = "1.110";
          python = "3.11";
        };
      }
      (
        {
          node = "24.0.0";
          process-compose = "1.110.0";
          python = "3.11.9";
          uv = "0.9";
        }
        // versions
      );
  cases = {
    the-least-passes = found { } == [ ];
    numbers-are-no-text = found { uv = "0.10.1"; } == [ ] && found { uv = "0.8.30"; } != [ ];
    a-series-ends-at-a-dot = found { python = "3.110.1"; } != [ ];
    newer-python-is-refused = found { python = "3.12.1"; } != [ ];
    newer-process-compose-passes = found { process-compose = "2.0"; } == [ ];
    each-is-named =
      found {
        node = "22.1.0";
        process-compose = "1.94.0";
      } == [
        "node: golden.toml wants 24.x, nixpkgs has 22.1.0"
        "process-compose: golden.toml wants 1.110 or newer, nixpkgs has 1.94.0"
      ];
  };
in
{
  golden = pass "golden" (drift golden (builtins.mapAttrs (_: lib.getVersion) tools.golden));

  logic = pass "logic" (builtins.attrNames (lib.filterAttrs (_: holds: !holds) cases));

  formatting =
    pkgs.runCommand "formatting"
      {
        nativeBuildInputs = [
          pkgs.deadnix
          pkgs.nixfmt
        ];
      }
      ''
        nixfmt --check ${files}
        deadnix --fail ${files}
        touch $out
      '';
}
