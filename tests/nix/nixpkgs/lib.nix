# The functions of nixpkgs.lib that our flake calls, with the same meaning.
rec {
  inherit (builtins)
    concatLists
    concatStringsSep
    filter
    head
    replaceStrings
    ;
  splitString =
    separator: text: filter builtins.isString (builtins.split (escapeRegex separator) text);
  last = list: builtins.elemAt list (builtins.length list - 1);
  escapeRegex = text: if text == "." then "\\." else text;
  sublist =
    start: count: list:
    builtins.genList (place: builtins.elemAt list (start + place)) count;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then
      builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text
    else
      text;
  genAttrs =
    names: f:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  optionalAttrs = condition: set: if condition then set else { };
  toLower = replaceStrings (splitString "," "A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z") (
    splitString "," "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z"
  );
  optionals = condition: list: if condition then list else [ ];
  optionalString = condition: text: if condition then text else "";
  concatMapStringsSep =
    separator: f: list:
    concatStringsSep separator (map f list);
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      start = builtins.stringLength text - builtins.stringLength suffix;
    in
    start >= 0 && builtins.substring start (-1) text == suffix;
  filterAttrs =
    keep: set:
    removeAttrs set (builtins.filter (name: !keep name set.${name}) (builtins.attrNames set));
  mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
  escapeShellArgs = list: concatStringsSep " " (map (text: "'${text}'") list);
  mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
  getLib = package: package.lib or package;
  fetchers.proxyImpureEnvVars = [ "https_proxy" ];
  getExe' = package: program: "${package}/bin/${program}";
  getExe =
    package: getExe' package (package.meta.mainProgram or (throw "${package.name} has no mainProgram"));
  makeLibraryPath =
    packages: concatMapStringsSep ":" (package: "${package.lib or package}/lib") packages;
  makeBinPath = packages: concatMapStringsSep ":" (package: "${package}/bin") packages;
}
