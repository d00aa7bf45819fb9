# `nix flake init -t`: this repository as the start of a fork.
{ root }:
{
  description = "A local analytics platform of your own: Dagster, dbt, DuckDB, without Docker";

  # A git flake holds no ignored file. A `path:` flake holds everything, and data or secrets go into no fork.
  path = builtins.path {
    name = "proto_loc-template";
    path = root;
    filter =
      path: _:
      !(builtins.elem (baseNameOf path) [
        ".direnv"
        ".env"
        ".environments"
        ".git"
        ".pytest_cache"
        ".ruff_cache"
        ".run"
        ".tools"
        ".venvs"
        "__pycache__"
        "node_modules"
        "result"
      ])
      && path != "${toString root}/data"
      && builtins.match "result-.*" (baseNameOf path) == null
      && builtins.match ".*\\.(duckdb|wal)" path == null;
  };

  welcomeText = ''
    # A fork of proto_loc

    Nix reads what git tracks, and copies files without their mode:

        chmod +x loc .ci/* .devcontainer/run
        git init && git add . && git update-index --chmod=+x loc .ci/* .devcontainer/run
        nix develop

    Then give it a name of its own, without the demonstration:

        git commit -m "proto_loc as it came"
        ./loc init NAME
        process-compose up
  '';
}
