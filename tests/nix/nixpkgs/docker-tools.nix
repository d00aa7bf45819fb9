# What our flake uses of nixpkgs.dockerTools, with the same meaning; the image has one layer, and is not compressed.
{
  build,
  host,
  lib,
}:
let
  link =
    name: path: target:
    build name { } "mkdir -p $out/$(dirname ${path}) && ln -s ${target} $out/${path}";
in
{
  binSh = link "bin-sh" "bin/sh" host.bash;
  usrBinEnv = link "usr-bin-env" "usr/bin/env" "/usr/bin/env";
  caCertificates =
    link "ca-certificates" "etc/ssl/certs/ca-bundle.crt"
      "/etc/ssl/certs/ca-certificates.crt";

  buildLayeredImage =
    {
      name,
      tag,
      contents,
      config,
      fakeRootCommands,
    }:
    let
      description = build "image.json" {
        passAsFile = [ "text" ];
        text = builtins.toJSON {
          architecture = "amd64";
          os = "linux";
          created = "1970-01-01T00:00:01Z";
          inherit config;
          rootfs = {
            type = "layers";
            diff_ids = [ "sha256:LAYER" ];
          };
        };
      } "cp $textPath $out";
      roots = contents ++ [ description ];
    in
    build "${name}.tar.gz"
      {
        inherit contents;
        exportReferencesGraph = lib.concatLists (
          builtins.genList (number: [
            "closure-${toString number}"
            (builtins.elemAt roots number)
          ]) (builtins.length roots)
        );
      }
      ''
        mkdir root
        for part in $contents; do
          cp -rsn $part/. root
          chmod -R u+w root
        done
        (cd root && eval ${lib.escapeShellArg fakeRootCommands})
        sed -n "s|^$NIX_STORE/|.&|p" closure-* | grep -v '\.drv$' | sort -u >paths
        tar -cf layer.tar --sort=name --mtime=@1 -C root .
        tar -rf layer.tar --sort=name --mtime=@1 --owner=0 --group=0 -C / -T paths
        layer=$(sha256sum layer.tar | cut -d ' ' -f 1)
        mkdir image image/$layer
        mv layer.tar image/$layer/
        sed "s/LAYER/$layer/" ${description} >image/config.json
        echo '[{"Config":"config.json","RepoTags":["${name}:${tag}"],"Layers":["'$layer'/layer.tar"]}]' >image/manifest.json
        tar -cf $out --sort=name --mtime=@1 --owner=0 --group=0 -C image .
      '';
}
